package redistest

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
	"testing"
	"time"
)

// CA is a certificate authority made for one test.
type CA struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewCA makes a certificate authority that nobody trusts who is not told to. Two
// of them do not trust each other.
func NewCA(t testing.TB) *CA {
	t.Helper()
	ca := &CA{t: t}
	template := certificate("test authority")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	issued := ca.sign(template)
	ca.cert, ca.key = issued.Leaf, issued.PrivateKey.(*ecdsa.PrivateKey)
	return ca
}

// Server issues a server's certificate for 127.0.0.1 and localhost.
func (ca *CA) Server() tls.Certificate {
	ca.t.Helper()
	return ca.sign(forLoopback(certificate("server")))
}

// Expired issues a certificate like Server's that ran out an hour ago.
func (ca *CA) Expired() tls.Certificate {
	ca.t.Helper()
	template := forLoopback(certificate("expired server"))
	template.NotAfter = time.Now().Add(-time.Hour)
	return ca.sign(template)
}

// WrongHost issues a server's certificate for another host.
func (ca *CA) WrongHost() tls.Certificate {
	ca.t.Helper()
	template := certificate("another server")
	template.DNSNames = []string{"elsewhere.invalid"}
	return ca.sign(template)
}

// Client issues a client's certificate.
func (ca *CA) Client() tls.Certificate {
	ca.t.Helper()
	return ca.sign(certificate("client"))
}

// Config returns a client's settings that trust the authority, and nobody else,
// and show the given certificates.
func (ca *CA) Config(client ...tls.Certificate) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	return &tls.Config{RootCAs: roots, Certificates: client, MinVersion: tls.VersionTLS12}
}

// adminConfig returns settings that reach any server of this authority, however
// wrong its certificate is, and that it lets in.
func (ca *CA) adminConfig() *tls.Config {
	c := ca.Config(ca.Client())
	c.InsecureSkipVerify = true
	return c
}

func certificate(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		NotBefore:   time.Now().Add(-24 * time.Hour),
		NotAfter:    time.Now().Add(24 * time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func forLoopback(template *x509.Certificate) *x509.Certificate {
	template.DNSNames = []string{"localhost"}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	return template
}

// sign makes a key and a certificate for it, signed by the authority, or by
// itself while there is none.
func (ca *CA) sign(template *x509.Certificate) tls.Certificate {
	ca.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		ca.t.Fatal(err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62)); err != nil {
		ca.t.Fatal(err)
	}
	parent, signer := ca.cert, ca.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		ca.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		ca.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// writeKeys writes what a TLS server needs to dir and returns the options that
// name it.
func writeKeys(t testing.TB, dir string, ca *CA, cert tls.Certificate) []string {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"--tls-auth-clients", "no"}
	for _, f := range []struct {
		option, kind string
		der          []byte
	}{
		{"--tls-ca-cert-file", "CERTIFICATE", ca.cert.Raw},
		{"--tls-cert-file", "CERTIFICATE", cert.Certificate[0]},
		{"--tls-key-file", "PRIVATE KEY", key},
	} {
		path := filepath.Join(dir, f.option[2:]+".pem")
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der}), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, f.option, path)
	}
	return args
}
