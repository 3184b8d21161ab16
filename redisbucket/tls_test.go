package redisbucket_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/go-tokenbucket/tokenbucket/redisbucket"
)

// certify makes a certificate that is its own authority, for server and client, and writes it and
// its key to files.
func certify(t *testing.T, dir string) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "redisbucket test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(parsed)
	return cert, pool
}

// Over TLS, with a client certificate, all is as without; a client that has none gets no decision.
func TestTLS(t *testing.T) {
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	dir, port := t.TempDir(), freePort()
	cert, pool := certify(t, dir)
	in := func(name string) string { return filepath.Join(dir, name) }
	cmd := exec.Command(path, "--port", "0", "--tls-port", strconv.Itoa(port), "--bind", "127.0.0.1", "--save", "",
		"--dir", dir, "--tls-cert-file", in("cert.pem"), "--tls-key-file", in("key.pem"),
		"--tls-ca-cert-file", in("cert.pem"), "--tls-auth-clients", "yes")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	of := func(config *tls.Config) *redisbucket.Limiter {
		client := redisbucket.NewClient(redis.UniversalOptions{Addrs: []string{"127.0.0.1:" + strconv.Itoa(port)}, TLSConfig: config})
		t.Cleanup(func() { _ = client.Close() })
		return redisbucket.New(client, slow, redisbucket.WithBreaker(1<<20, time.Second))
	}
	with := of(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}})
	until(t, func() bool { ok, err := with.Allow(t.Context(), "k"); return ok && err == nil })
	without := of(&tls.Config{RootCAs: pool})
	if _, err := without.Allow(t.Context(), "k"); !errors.Is(err, redisbucket.ErrUnavailable) {
		t.Errorf("without a certificate: error %v, want ErrUnavailable", err)
	}
}
