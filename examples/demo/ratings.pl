# Ratings in Perl, for machines without Python: serves HTTP on loopback, calls the inventory by its name, knows no mesh.
use strict;
use warnings;
use IO::Socket::INET;

my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => $ENV{PORT}, Listen => 128, ReuseAddr => 1) or die $!;
my ($proxy) = ($ENV{http_proxy} // '') =~ m{^http://([^/]+)};
$SIG{CHLD} = 'IGNORE';

while (my $client = $server->accept) {
    next if fork;
    while (defined(my $line = <$client>)) {
        my ($item) = $line =~ m{^GET \S*?([^/\s]+) HTTP} or last;
        while (defined(my $header = <$client>)) { last if $header =~ /^\r?\n$/ }
        my ($status, $body) = ('502 Bad Gateway', '{"error":"no stock"}');
        if (my $inventory = IO::Socket::INET->new(PeerAddr => $proxy, Timeout => 5)) {
            print $inventory "GET http://inventory.shop/items/$item HTTP/1.1\r\nHost: inventory.shop\r\nConnection: close\r\n\r\n";
            local $/;
            my $answer = <$inventory>;
            ($status, $body) = ('200 OK', '{"item":"' . $item . '","stars":' . (1 + $1 % 5) . '}') if $answer =~ /"stock":(\d+)/;
        }
        print $client "HTTP/1.1 $status\r\nContent-Type: application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
    }
    exit;
}
