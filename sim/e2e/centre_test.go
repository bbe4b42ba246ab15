package e2e

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"watchpost/storage/event"
)

// The one person of the tests' centre.
const (
	dispatcher = "wang"
	password   = "correct-horse-battery"
)

// centre is a running dispatch with its directory.
type centre struct {
	*process
	t      testing.TB
	dir    string
	args   []string // of serve, with the ports that were found
	url    string
	broker string
}

// newCentre makes a centre with its built-in broker and serves it.
func newCentre(t testing.TB) *centre { t.Helper(); return newCentreOn(t, nil) }

// newCentreOn makes a centre on a broker of another make, which it starts on the files of the centre's directory.
func newCentreOn(t testing.TB, broker func(testing.TB, string) string) *centre {
	t.Helper()
	c := &centre{t: t, dir: filepath.Join(t.TempDir(), "centre")}
	must(t, "dispatch", "init", "--dir", c.dir, "--name", "常山县")
	must(t, "dispatch", "user", "--dir", c.dir, dispatcher, "--password", password)
	c.args = []string{"serve", "--dir", c.dir, "--listen", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"}
	if broker != nil {
		c.args = append(c.args, "--broker", broker(t, c.dir))
	}
	c.serve()
	host := func(address string) string {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		return u.Host
	}
	c.args[4], c.args[6] = host(c.url), host(c.broker) // a restart finds its stations and browsers again
	return c
}

// serve starts the centre, the first time or again.
func (c *centre) serve() {
	c.t.Helper()
	c.process = start(c.t, "dispatch", c.args...)
	c.url, c.broker = c.line("http "), c.line("mqtt ")
	c.line("ready")
}

// enrol makes the certificates of a station and answers their folder.
func (c *centre) enrol(station, jurisdiction, name string) string {
	c.t.Helper()
	out := filepath.Join(c.t.TempDir(), station)
	must(c.t, "dispatch", "enrol", "--dir", c.dir, "--jurisdiction", jurisdiction, "--station", station, "--name", name,
		"--broker", c.broker, "--out", out)
	return out
}

// person is somebody who is logged in at the console.
type person struct {
	c      *centre
	client *http.Client
}

// login logs the tests' dispatcher in.
func (c *centre) login() person { c.t.Helper(); return c.loginAs(dispatcher, password) }

func (c *centre) loginAs(name, secret string) person {
	c.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	p := person{c, &http.Client{Jar: jar, Timeout: patience}}
	c.t.Cleanup(p.client.CloseIdleConnections)
	if code := p.ask("POST", "/api/login", map[string]string{"name": name, "password": secret}, nil); code/100 != 2 {
		c.t.Fatalf("log-in of %s: HTTP %d", name, code)
	}
	return p
}

// ask sends one request to the console; the answer goes into out, and its HTTP status is answered.
func (p person) ask(method, path string, in, out any) int {
	p.c.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		p.c.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(p.c.t.Context(), method, p.c.url+path, bytes.NewReader(body))
	if err != nil {
		p.c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Origin", p.c.url)
	r, err := p.client.Do(req)
	if err != nil {
		p.c.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(r.Body, 1<<24))
	if err != nil {
		p.c.t.Fatal(err)
	}
	if out != nil && len(b) > 0 {
		if err := json.Unmarshal(b, out); err != nil {
			p.c.t.Fatalf("%s %s: %v in %.300s", method, path, err, b)
		}
	}
	return r.StatusCode
}

// alarm is what the console says of an alarm, as far as the tests look.
type alarm struct {
	ID, Station, Epoch, Kind, Zone, State, Owner, Camera string
	Stage, About, Carrier                                string
	Seq                                                  uint64
	Priority, Count, Missing                             int
	Restored                                             time.Time
	Words                                                struct{ Code, Text, State, Account, Reason string }
}

// openAlarms are the alarms that nobody has acknowledged.
func (p person) openAlarms() []alarm {
	p.c.t.Helper()
	var v struct{ Open []alarm }
	if code := p.ask("GET", "/api/alarms", nil, &v); code != http.StatusOK {
		p.c.t.Fatalf("alarms: HTTP %d", code)
	}
	return v.Open
}

// awaitAlarm waits for an open alarm that fits.
func (p person) awaitAlarm(what string, fits func(alarm) bool) (found alarm) {
	p.c.t.Helper()
	eventually(p.c.t, "alarm "+what+" at the centre", func() error {
		open := p.openAlarms()
		for _, a := range open {
			if fits(a) {
				found = a
				return nil
			}
		}
		return fmt.Errorf("open are %v", open)
	})
	return found
}

// stored reads every event of a station straight from the centre's database, in the order in which they were stored.
func (c *centre) stored(station string) []event.Event { c.t.Helper(); return c.storedAfter(station, 0) }

// storedAfter is stored without the rows up to one.
func (c *centre) storedAfter(station string, row int64) []event.Event {
	c.t.Helper()
	return c.rows("WHERE station = ? AND id > ?", station, row)
}

// rows reads events straight from the centre's database.
func (c *centre) rows(where string, args ...any) []event.Event {
	c.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(c.dir, ledgerFile)+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	found, err := db.QueryContext(c.t.Context(), "SELECT station, epoch, record FROM event "+where+" ORDER BY id", args...)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = found.Close() }()
	var all []event.Event
	for found.Next() {
		var station string
		var epoch event.Epoch
		var raw, record []byte
		if err := found.Scan(&station, &raw, &record); err != nil {
			c.t.Fatal(err)
		}
		copy(epoch[:], raw)
		e, err := event.DecodeRecord(station, epoch, record)
		if err != nil {
			c.t.Fatal(err)
		}
		all = append(all, e)
	}
	if err := found.Err(); err != nil {
		c.t.Fatal(err)
	}
	return all
}

// lastRow is the last row of the centre's events.
func (c *centre) lastRow() (row int64) {
	c.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(c.dir, ledgerFile)+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.QueryRowContext(c.t.Context(), "SELECT coalesce(max(id), 0) FROM event").Scan(&row); err != nil {
		c.t.Fatal(err)
	}
	return row
}

// awaitStored waits until the centre has stored an event of the station that fits.
func (c *centre) awaitStored(station, what string, fits func(event.Event) bool) (found event.Event) {
	c.t.Helper()
	eventually(c.t, what+" of "+station+" in the centre's store", func() error {
		all := c.stored(station)
		for _, e := range all {
			if fits(e) {
				found = e
				return nil
			}
		}
		kinds := map[event.Kind]int{}
		for _, e := range all {
			kinds[e.Kind]++
		}
		return fmt.Errorf("stored are %v", kinds)
	})
	return found
}

// checkOnce fails the test if a (station, epoch, seq) is stored twice or a lane is out of order.
func checkOnce(t testing.TB, all []event.Event) {
	t.Helper()
	type lane struct {
		epoch event.Epoch
		lane  event.Lane
	}
	last, seen := map[lane]uint64{}, map[string]bool{}
	for _, e := range all {
		if seen[e.Name()] {
			t.Errorf("%s is stored twice", e.Name())
		}
		seen[e.Name()] = true
		l := lane{e.Epoch, e.Lane}
		if e.Seq <= last[l] {
			t.Errorf("%s of lane %s came after seq %d", e.Name(), e.Lane, last[l])
		}
		last[l] = e.Seq
	}
}

// age is how old a time is; for logs.
func age(at time.Time) time.Duration { return time.Since(at).Round(time.Millisecond) }
