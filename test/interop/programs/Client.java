import java.io.FileInputStream;
import java.io.InputStream;
import java.net.InetSocketAddress;
import java.net.ProxySelector;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** java.net.http: in plain with its offer of HTTP/2, through the shim as proxy, and over TLS with an SVID. */
public class Client {
  public static void main(String[] args) throws Exception {
    int proxyPort = Integer.parseInt(args[0]);
    int meshPort = Integer.parseInt(args[1]);
    String keys = args[2];
    String trust = args[3];
    byte[] body = new byte[1 << 20];
    Arrays.fill(body, (byte) 'j');

    HttpClient plain = HttpClient.newHttpClient();
    URI direct = URI.create("http://127.0.0.1:" + meshPort + "/plain");
    print("plain", plain.send(HttpRequest.newBuilder(direct).build(), HttpResponse.BodyHandlers.ofString()));
    HttpRequest post = HttpRequest.newBuilder(direct).POST(HttpRequest.BodyPublishers.ofByteArray(body)).build();
    print("post", plain.send(post, HttpResponse.BodyHandlers.ofString()));

    InetSocketAddress shim = new InetSocketAddress("127.0.0.1", proxyPort);
    HttpClient proxied = HttpClient.newBuilder().proxy(ProxySelector.of(shim)).build();
    HttpRequest streamed = HttpRequest.newBuilder(URI.create("http://echo.test/proxied"))
        .POST(HttpRequest.BodyPublishers.ofInputStream(() -> new java.io.ByteArrayInputStream(body)))
        .build();
    print("proxied", proxied.send(streamed, HttpResponse.BodyHandlers.ofString()));

    HttpClient secure = HttpClient.newBuilder().sslContext(context(keys, trust)).build();
    List<CompletableFuture<HttpResponse<String>>> many = new ArrayList<>();
    for (int i = 0; i < 20; i++) {
      URI uri = URI.create("https://127.0.0.1:" + meshPort + "/tls" + i);
      many.add(secure.sendAsync(HttpRequest.newBuilder(uri).build(), HttpResponse.BodyHandlers.ofString()));
    }
    for (CompletableFuture<HttpResponse<String>> one : many) print("tls", one.get());
    System.exit(0);
  }

  private static void print(String name, HttpResponse<String> response) {
    System.out.println(name + " " + response.version() + " " + response.body().trim());
  }

  private static SSLContext context(String keys, String trust) throws Exception {
    char[] password = "changeit".toCharArray();
    KeyStore store = KeyStore.getInstance("PKCS12");
    try (InputStream in = new FileInputStream(keys)) {
      store.load(in, password);
    }
    KeyManagerFactory own = KeyManagerFactory.getInstance("PKIX");
    own.init(store, password);
    KeyStore roots = KeyStore.getInstance("PKCS12");
    roots.load(null, null);
    try (InputStream in = new FileInputStream(trust)) {
      roots.setCertificateEntry("root", java.security.cert.CertificateFactory.getInstance("X.509").generateCertificate(in));
    }
    TrustManagerFactory others = TrustManagerFactory.getInstance("PKIX");
    others.init(roots);
    SSLContext context = SSLContext.getInstance("TLSv1.3");
    context.init(own.getKeyManagers(), others.getTrustManagers(), new SecureRandom());
    return context;
  }
}
