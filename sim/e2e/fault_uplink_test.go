package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"watchpost/storage/event"
)

// panelMarks are the running numbers of the simulated panel's reports among events, in the order of the events.
func panelMarks(all []event.Event) (marks []int) {
	for _, e := range all {
		text, _ := e.Body.Text(event.TagText)
		var n int
		if _, err := fmt.Sscanf(text, "WP-%06d", &n); err == nil && e.Kind == event.KindPanelEvent {
			marks = append(marks, n)
		}
	}
	return marks
}

// checkMarks fails the test unless each of the reports from first to last was stored, and none twice.
func checkMarks(t testing.TB, all []event.Event, first, last int) {
	t.Helper()
	seen := map[int]int{}
	for _, n := range panelMarks(all) {
		seen[n]++
	}
	for n := first; n <= last; n++ {
		if seen[n] != 1 {
			t.Errorf("report %d is stored %d times", n, seen[n])
		}
		delete(seen, n)
	}
	if len(seen) > 0 {
		t.Errorf("reports that were never sent are stored: %v", seen)
	}
}

// TestFaultBrokerAway: the centre is away at the station's start and is killed again and again later. The agent says what to
// check and goes on; each event is stored once when the centre is back.
func TestFaultBrokerAway(t *testing.T) {
	c := newCentre(t)
	v := caoping(c).build(t)
	c.kill()
	v.start()
	v.set("door", 1)
	v.agent.says("fault=broker_away")
	v.agent.says("check the address " + c.broker + ", the network, and that the broker runs")
	eventually(t, "the door in the log, the remedy in the status", func() error {
		st, err := v.door()
		switch {
		case err != nil:
			return err
		case st.Centres[0].Online || !strings.Contains(st.Centres[0].Reason, "check the address"):
			return fmt.Errorf("centre %+v", st.Centres[0])
		case st.Log.Heads["alarm"] == 0 || st.Centres[0].Receipts["alarm"] != 0:
			return fmt.Errorf("log %+v, centre %+v", st.Log, st.Centres[0])
		}
		return nil
	})
	must(t, "simctl", "panel", "--to", "tcp://"+v.panels, "--account", "1409", "--count", "50")
	stopsWell(t, v.agent)

	v.start() // still away: what was stored before the restart must go up too
	c.serve()
	c.awaitStored(v.id, "the door", zoneActive("door"))
	const rounds, each = 3, 100
	for round := range rounds { // kill -9 of broker and centre while reports come
		first := 51 + round*each
		panel := start(t, "simctl", "panel", "--to", "tcp://"+v.panels, "--account", "1409", "--count", fmt.Sprint(each), "--first", fmt.Sprint(first), "--rate", "200")
		c.awaitStored(v.id, "the first report of the round", func(e event.Event) bool {
			return len(panelMarks([]event.Event{e})) == 1 && panelMarks([]event.Event{e})[0] >= first
		})
		c.kill()
		if code := panel.wait(); code != 0 {
			t.Fatalf("panel: exit code %d:\n%s", code, panel.tail(10))
		}
		c.serve()
	}
	v.drained()
	all := c.stored(v.id)
	checkOnce(t, all)
	checkMarks(t, all, 1, 50+rounds*each)
	told := 0
	for _, e := range all {
		if why, _ := e.Body.Text(event.TagReason); e.Kind == event.KindCentreLink && why != "" {
			told++
		}
	}
	t.Logf("%d events, %d of them tell a lost link", len(all), told)
	if told < 2 {
		t.Errorf("%d events tell a lost link, want at least 2", told)
	}
	stopsWell(t, v.agent)
}

// counterfeit is a station certificate that its broker must refuse: signed by the CA in signer's folder, or by one of its own if
// that is "", and valid until then.
func counterfeit(t testing.TB, signer, station, jurisdiction string, until time.Time) (certificate, key string) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	subject := &x509.Certificate{
		SerialNumber: big.NewInt(until.Unix()), Subject: pkix.Name{CommonName: station, Organization: []string{jurisdiction}},
		NotBefore: until.Add(-24 * time.Hour), NotAfter: until, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	issuer, issuerKey := subject, any(secret)
	if signer != "" {
		if issuer, err = x509.ParseCertificate(unpem(t, filepath.Join(signer, "ca.pem"))); err != nil {
			t.Fatal(err)
		}
		if issuerKey, err = x509.ParsePKCS8PrivateKey(unpem(t, filepath.Join(signer, "ca-key.pem"))); err != nil {
			t.Fatal(err)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, subject, issuer, secret.Public(), issuerKey)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

func unpem(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("no PEM in %s", path)
	}
	return block.Bytes
}

// TestFaultCertificates: whatever is wrong with the files of a centre, the agent names the file to check, keeps its events, and
// connects by itself once the file is right, without a restart.
func TestFaultCertificates(t *testing.T) {
	c, other := newCentre(t), newCentre(t)
	v := caoping(c).build(t)
	config, err := os.ReadFile(v.config)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(config), "certificate: ")
	certificate, _, _ := strings.Cut(rest, "\n")
	dir := filepath.Dir(certificate)
	ca, key := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "station-key.pem")
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	good := map[string]string{ca: read(ca), certificate: read(certificate), key: read(key)}
	foreign, foreignKey := counterfeit(t, other.dir, v.id, "changshan", time.Now().Add(time.Hour))
	expired, expiredKey := counterfeit(t, c.dir, v.id, "changshan", time.Now().Add(-time.Hour))
	stranger, strangerKey := counterfeit(t, c.dir, "cs-nobody", "changshan", time.Now().Add(time.Hour))
	for _, test := range []struct {
		name  string
		wrong map[string]string // path → text, "" = no such file
		fault string
		says  []string
	}{
		{"certificate of another CA", map[string]string{certificate: foreign, key: foreignKey}, "certificate_refused",
			[]string{"check that " + certificate + " is this station's certificate, signed by the broker's CA", "enrol the station again"}},
		{"expired certificate", map[string]string{certificate: expired, key: expiredKey}, "certificate_refused", []string{"check that " + certificate, "not expired"}},
		{"another station's certificate", map[string]string{certificate: stranger, key: strangerKey}, "not_authorised",
			[]string{"check that " + certificate + " names station " + v.id}},
		{"another broker's CA", map[string]string{ca: read(filepath.Join(other.dir, "ca.pem"))}, "broker_untrusted",
			[]string{"check that " + ca + " is the CA of the broker's certificate"}},
		{"no certificate", map[string]string{certificate: ""}, "files", []string{certificate + ": no such file", "check ca, cert"}},
		{"no CA", map[string]string{ca: ""}, "files", []string{ca + ": no such file"}},
		{"CA that is none", map[string]string{ca: "-----BEGIN NOTHING-----"}, "files", []string{ca + " holds no certificate in PEM"}},
		{"key of another certificate", map[string]string{key: foreignKey}, "files", []string{certificate + " with " + key}},
	} {
		t.Run(test.name, func(t *testing.T) {
			v.t = t
			put(t, test.wrong)
			v.start()
			v.set("door", 1)
			v.agent.says("fault=" + test.fault)
			st, err := v.door()
			if err != nil {
				t.Fatal(err)
			}
			holdsAll(t, "the local door", st.Centres[0].Reason, test.says...)
			for _, text := range test.says {
				v.agent.says(text)
			}
			put(t, good)
			v.online()
			v.set("door", 0)
			v.drained()
			stopsWell(t, v.agent)
		})
	}
	all := c.stored(v.id)
	checkOnce(t, all)
	reasons := map[string]bool{}
	for _, e := range all {
		if why, ok := e.Body.Text(event.TagReason); ok && e.Kind == event.KindCentreLink {
			reasons[why] = true
		}
	}
	for _, want := range []string{"certificate_refused", "not_authorised", "broker_untrusted", "files"} {
		if !reasons[want] {
			t.Errorf("no event at the centre says that the link was down for %s: %v", want, reasons)
		}
	}
}

// put writes files, or takes them away where the text is "".
func put(t testing.TB, files map[string]string) {
	t.Helper()
	for path, text := range files {
		err := os.Remove(path)
		if text != "" {
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}
