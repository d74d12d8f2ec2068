// Visits each host over HTTP/1.1 twice, the second time with the session of the first, and over HTTP/2; then a name
// that nobody has. Arguments: CA file, port, hosts. One line for each visit.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

func get(config *tls.Config, port string, host string, h2 bool) {
	dialer := &net.Dialer{Timeout: 20 * time.Second}
	transport := &http.Transport{
		TLSClientConfig:   config,
		ForceAttemptHTTP2: h2,
		DisableKeepAlives: !h2,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", "127.0.0.1:"+port)
		},
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	response, err := client.Get("https://" + host + ":" + port + "/")
	if err != nil {
		fmt.Println(host, err)
		return
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		fmt.Println(host, err)
		return
	}
	kind := "full"
	if response.TLS.DidResume {
		kind = "resumed"
	}
	fmt.Println(response.Proto, response.StatusCode, kind, string(body))
}

func main() {
	pem, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	for _, highest := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, host := range os.Args[3:] {
			sessions := tls.NewLRUClientSessionCache(8)
			config := &tls.Config{RootCAs: roots, ClientSessionCache: sessions, MaxVersion: highest}
			get(config, os.Args[2], host, false)
			get(config, os.Args[2], host, false)
			get(&tls.Config{RootCAs: roots, MaxVersion: highest}, os.Args[2], host, true)
		}
	}
	get(&tls.Config{RootCAs: roots}, os.Args[2], "nobody.example.com", false)
}
