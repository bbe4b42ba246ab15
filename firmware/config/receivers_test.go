package config

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestReceiverOfTheReference(t *testing.T) {
	c, err := Parse("/etc/watchpost/station.yaml", []byte(Reference))
	if err != nil {
		t.Fatal(err)
	}
	r := c.Receivers[0]
	if len(c.Receivers) != 1 || r.ID != "province" || r.Transport != TransportTLS || r.CA != "/etc/watchpost/arc-ca.pem" || r.Certificate != "" ||
		r.Account != "4711" || r.Line != "0" || r.Receiver != "" || r.KeyASCII != "Caoping-Changsha" || r.Format != "sia" || r.Supervision != time.Minute ||
		!slices.Equal(r.Events, []string{"alarm", "openclose", "trouble", "test"}) ||
		!maps.Equal(r.Zones, map[string]int{"hall": 1, "panic-button": 2, "财务室": 11}) || r.Partitions["house"] != 1 || r.Users["li"] != 1 {
		t.Errorf("%+v", r)
	}
}

// TestReceiverDefaults: supervision that is not given is a minute, and 0 is none.
func TestReceiverDefaults(t *testing.T) {
	const least = "station: {id: s, jurisdiction: j, name: n}\nreceivers:\n- {id: a, address: 10.0.0.1:5093, transport: tcp-local, account: abc}\n- {id: b, address: 10.0.0.1:5093, transport: tcp-local, account: abc, supervision: 0s}\n"
	c, err := Parse("s.yaml", []byte(least))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := c.Receivers[0], c.Receivers[1]; a.Supervision != time.Minute || b.Supervision != 0 || a.Account != "ABC" || a.Format != "sia" || a.Line != "0" || len(a.Events) != 4 {
		t.Errorf("%+v, %+v", a, b)
	}
	var many strings.Builder
	many.WriteString("station: {id: s, jurisdiction: j, name: n}\nreceivers:\n")
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		many.WriteString("- {id: " + id + ", address: 10.0.0.1:5093, transport: tcp-local, account: abc}\n")
	}
	if _, err := Parse("s.yaml", []byte(many.String())); err == nil || !strings.Contains(err.Error(), "5 are too many") {
		t.Errorf("five receivers: %v", err)
	}
}

func TestMistakesInReceivers(t *testing.T) {
	const local = "transport: tcp-local #"
	address := "address: arc.zhejiang.example:5093"
	explained(t, []mistake{
		{"id", "id: province", "id: Province", "receivers[0].id", "only a-z, 0-9 and -"},
		{"transport", "transport: tls ", "transport: tsl ", "receivers[0].transport", "did you mean tls?"},
		{"no port", address, "address: arc.zhejiang.example", "receivers[0].address", "HOST:PORT"},
		{"no CA", "ca: arc-ca.pem ", `ca: "" `, "receivers[0].ca", "who may vouch"},
		{"certificate alone", "    # certificate: arc-station.pem", "    certificate: arc-station.pem #", "receivers[0].certificate", "give both, or neither"},
		{"account", `account: "4711"`, `account: "47"`, "receivers[0].account", "3 to 16 hex digits"},
		{"line", `account: "4711"`, "line: \"1234567\"\n    account: \"4711\"", "receivers[0].line", "up to 6 hex digits"},
		{"key", "key_ascii: Caoping-Changsha", "key_ascii: Caoping", "receivers[0].key_ascii", "16, 24 or 32 characters"},
		{"key in hex", "key_ascii: Caoping-Changsha", "key_hex: Caoping-Changsha", "receivers[0].key_hex", "32, 48 or 64 hex digits"},
		{"format", "format: sia ", "format: sai ", "receivers[0].format", "did you mean sia?"},
		{"event", "[alarm, openclose, trouble, test]", "[alarm, openclos]", "receivers[0].events[1]", "did you mean openclose?"},
		{"no events", "[alarm, openclose, trouble, test]", "[]", "receivers[0].events", "leave it out"},
		{"supervision", "supervision: 60s ", "supervision: 1s ", "receivers[0].supervision", "outside 5s to 24h"},
		{"no such zone", "{hall: 1, panic-button: 2,", "{hal: 1, panic-button: 2,", "receivers[0].zones", "did you mean hall?"},
		{"number", "{hall: 1, panic-button: 2,", "{hall: 1000, panic-button: 2,", "receivers[0].zones", "outside 1 to 999"},
		{"number twice", "{hall: 1, panic-button: 2,", "{hall: 2, panic-button: 2,", "receivers[0].zones", "that of hall already"},
		{"no such partition", "partitions: {house: 1}", "partitions: {hause: 1}", "receivers[0].partitions", "did you mean house?"},
		{"no such user", "users: {li: 1}", "users: {wang: 1}", "receivers[0].users", "no user is called"},
	})
	// A receiver on the station's own network, by its address, and with nothing of TLS.
	for text, says := range map[string]string{
		address:                     "want the IP address",
		"address: 8.8.8.8:5093":     "on no private network",
		"address: 10.1.2.3:5093":    "only tls has it",
		"address: '[fe80::1]:5093'": "only tls has it",
	} {
		reference := strings.Replace(strings.Replace(Reference, "transport: tls ", local, 1), address, text, 1)
		_, err := Parse("s.yaml", []byte(reference))
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "receivers[0].ca: only tls has it") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
