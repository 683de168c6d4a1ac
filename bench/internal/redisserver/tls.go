package redisserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Certificate is what servers show that speak TLS. It signs itself and is made
// anew each time, so that nobody trusts it who is not told to.
type Certificate struct {
	dir    string
	config *tls.Config
}

// NewCertificate makes a certificate for 127.0.0.1. The caller closes it.
func NewCertificate() (*Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "bench"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:                  true,
		BasicConstraintsValid: true,
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return newCertificate(der, private)
}

// newCertificate writes the files that servers read.
func newCertificate(der, private []byte) (*Certificate, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bench-tls")
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	c := &Certificate{dir, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	for path, block := range map[string]*pem.Block{
		c.File():    {Type: "CERTIFICATE", Bytes: der},
		c.keyFile(): {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// File returns the path of the certificate, for clients that are told by one whom
// to trust.
func (c *Certificate) File() string { return filepath.Join(c.dir, "cert.pem") }

func (c *Certificate) keyFile() string { return filepath.Join(c.dir, "key.pem") }

// Config returns the settings of clients that trust the certificate and no other,
// or nil if c is nil: then no TLS is spoken. They must not be changed.
func (c *Certificate) Config() *tls.Config {
	if c == nil {
		return nil
	}
	return c.config
}

// Close removes the files.
func (c *Certificate) Close() { _ = os.RemoveAll(c.dir) }

// options returns a server's options that have it speak TLS alone, at port.
func (c *Certificate) options(port string) []string {
	return []string{
		"--port", "0", "--tls-port", port, "--tls-auth-clients", "no",
		"--tls-cert-file", c.File(), "--tls-key-file", c.keyFile(), "--tls-ca-cert-file", c.File(),
	}
}
