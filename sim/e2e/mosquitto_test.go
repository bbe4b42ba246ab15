package e2e

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// mosquitto starts Debian's broker with the configuration and the permissions that we ship, on the files of a centre's
// directory, and answers its address.
func mosquitto(t testing.TB, dir string) string {
	t.Helper()
	const program = "/usr/sbin/mosquitto"
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CI") == "" {
			t.Skip("no " + program + ": run make deps")
		}
		t.Fatal(err)
	}
	shipped := filepath.Join("..", "..", "tools", "dispatch", "broker")
	text, err := os.ReadFile(filepath.Join(shipped, "mosquitto.conf"))
	if err != nil {
		t.Fatal(err)
	}
	acl, err := filepath.Abs(filepath.Join(shipped, "mosquitto.acl"))
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	config := strings.NewReplacer("listener 8883", "listener "+port+" 127.0.0.1\nuser root", "/etc/mosquitto/watchpost/mosquitto.acl", acl,
		"/etc/mosquitto/watchpost/", dir+"/").Replace(string(text))
	file := filepath.Join(t.TempDir(), "mosquitto.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, program, "-c", file)
	eventually(t, "mosquitto", func() error {
		if !p.running() {
			t.Fatalf("mosquitto ended:\n%s", p.tail(20))
		}
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	return "tls://" + address
}

// freeAddress is a loopback address that nobody listens on at this moment, for programs that cannot choose one themselves.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// eachBroker runs a test against the built-in broker and against mosquitto.
func eachBroker(t *testing.T, test func(*testing.T, *centre)) {
	t.Run("built-in", func(t *testing.T) { test(t, newCentre(t)) })
	t.Run("mosquitto", func(t *testing.T) { test(t, newCentreOn(t, mosquitto)) })
}
