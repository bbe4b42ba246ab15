package authority

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

func create(t *testing.T, hosts ...string) (*Authority, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "centre")
	a, err := Create(dir, hosts, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a, dir
}

// shake makes a TLS handshake and returns who the server takes the client for.
func shake(t *testing.T, server, client *tls.Config) (Name, error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var name Name
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		defer c.Close()
		s := tls.Server(c, server)
		if err := s.HandshakeContext(ctx); err != nil {
			return err
		}
		name = NameOf(s.ConnectionState().VerifiedChains[0][0])
		_, err = s.Write([]byte{1})
		return err
	})
	g.Go(func() error {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return err
		}
		defer c.Close()
		s := tls.Client(c, client)
		if err := s.HandshakeContext(ctx); err != nil {
			return err
		}
		_, err = s.Read(make([]byte, 1)) // TLS 1.3 tells a client's refusal after its handshake
		return err
	})
	return name, g.Wait()
}

func stationTLS(t *testing.T, dir, serverName string) *tls.Config {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, StationFile), filepath.Join(dir, StationKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, CAFile))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: pool, ServerName: serverName}
}

func TestCertificatesSayWho(t *testing.T) {
	made, dir := create(t, "dispatch.changshan.example", "192.0.2.1")
	a, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !a.CommandKey().Equal(made.CommandKey()) {
		t.Error("the command key read back is another")
	}
	server, err := a.ServerTLS()
	if err != nil {
		t.Fatal(err)
	}
	centre, err := a.ClientTLS()
	if err != nil {
		t.Fatal(err)
	}
	centre.ServerName = "localhost"
	if name, err := shake(t, server, centre); err != nil || name != (Name{Station: CentreName}) {
		t.Errorf("the centre is %+v, %v", name, err)
	}
	want := Name{Jurisdiction: "changshan", Station: "cs-baishi-caoping"}
	out := filepath.Join(t.TempDir(), "st")
	if err := a.Enrol(out, want, time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost", "127.0.0.1", "::1", "dispatch.changshan.example", "192.0.2.1"} {
		if name, err := shake(t, server, stationTLS(t, out, host)); err != nil || name != want {
			t.Errorf("by way of %s the station is %+v, %v", host, name, err)
		}
	}
	if _, err := shake(t, server, stationTLS(t, out, "elsewhere.example")); err == nil {
		t.Error("the broker's certificate serves for any name")
	}
}

func TestAnotherCentresStationIsAStranger(t *testing.T) {
	a, _ := create(t)
	b, _ := create(t)
	out := t.TempDir()
	if err := b.Enrol(out, Name{"changshan", "cs-baishi-caoping"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	server, err := a.ServerTLS()
	if err != nil {
		t.Fatal(err)
	}
	config := stationTLS(t, out, "localhost")
	config.RootCAs = a.pool()
	if _, err := shake(t, server, config); err == nil {
		t.Error("a certificate of another centre is believed")
	}
}

// A station's certificate is for clients: with it nobody can play the broker.
func TestAStationCannotPlayTheBroker(t *testing.T) {
	a, _ := create(t)
	out := t.TempDir()
	if err := a.Enrol(out, Name{"changshan", "localhost"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	impostor := stationTLS(t, out, "")
	impostor.ClientAuth, impostor.ClientCAs = tls.RequireAndVerifyClientCert, a.pool()
	centre, err := a.ClientTLS()
	if err != nil {
		t.Fatal(err)
	}
	centre.ServerName = "localhost"
	if _, err := shake(t, impostor, centre); err == nil {
		t.Error("the centre takes a station for its broker")
	}
}

func TestACertificateEnds(t *testing.T) {
	a, _ := create(t)
	out := t.TempDir()
	if err := a.Enrol(out, Name{"changshan", "old"}, time.Now().Add(-leafLife-time.Hour)); err != nil {
		t.Fatal(err)
	}
	server, err := a.ServerTLS()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := shake(t, server, stationTLS(t, out, "localhost")); err == nil {
		t.Error("an expired certificate is believed")
	}
}

func TestFilesAndTheirModes(t *testing.T) {
	a, dir := create(t)
	out := filepath.Join(t.TempDir(), "st")
	if err := a.Enrol(out, Name{"changshan", "a"}, time.Now()); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{
		filepath.Join(dir, caKeyFile): 0o600, filepath.Join(dir, commandKeyFile): 0o600, filepath.Join(dir, serverKeyFile): 0o600,
		filepath.Join(out, StationKeyFile): 0o600, filepath.Join(out, StationFile): 0o644, dir: 0o700 | os.ModeDir,
	} {
		st, err := os.Stat(path)
		if err != nil || st.Mode() != mode {
			t.Errorf("%s has mode %v, %v; want %v", path, st.Mode(), err, mode)
		}
	}
	text, err := os.ReadFile(filepath.Join(out, CommandPubFile))
	if err != nil {
		t.Fatal(err)
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || !bytes.Equal(key, a.CommandKey().Public().(ed25519.PublicKey)) {
		t.Errorf("command.pub holds %q, %v", text, err)
	}
}

func TestWhatIsNoCentre(t *testing.T) {
	_, dir := create(t)
	if _, err := Create(dir, nil, time.Now()); !errors.Is(err, ErrExists) {
		t.Errorf("a second Create: %v", err)
	}
	if _, err := Open(t.TempDir()); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "dispatch init --dir") {
		t.Errorf("an empty directory: %v", err)
	}
	for name, text := range map[string]string{CAFile: "no PEM", caKeyFile: "no PEM", commandKeyFile: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		path := filepath.Join(dir, name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("a damaged %s: %v", name, err)
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNamesOfSubjects(t *testing.T) {
	for _, c := range []struct {
		cn   string
		org  []string
		want Name
	}{
		{"cs-a", []string{"changshan"}, Name{"changshan", "cs-a"}},
		{"centre", nil, Name{Station: "centre"}},
		{"centre", []string{"changshan"}, Name{}}, // nobody is enrolled like that
		{"cs-a", nil, Name{}},
		{"cs-a", []string{"changshan", "yushan"}, Name{}},
		{"cs.a", []string{"changshan"}, Name{}},
		{"cs-a", []string{"chang.shan"}, Name{}},
		{">", []string{"*"}, Name{}},
		{"", nil, Name{}},
	} {
		got := NameOf(&x509.Certificate{Subject: pkix.Name{CommonName: c.cn, Organization: c.org}})
		if got != c.want {
			t.Errorf("CN %q, O %q: %+v, want %+v", c.cn, c.org, got, c.want)
		}
	}
}
