package e2e

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"watchpost/sim/fleet"
	"watchpost/storage/event"
)

// clusterNodeFile names the environment variable by which a node's process is told its configuration.
const clusterNodeFile = "WATCHPOST_CLUSTER_NODE"

// TestClusterNode is not a test of its own: it is what a node's process runs.
func TestClusterNode(t *testing.T) {
	file := os.Getenv(clusterNodeFile)
	if file == "" {
		t.Skip("it is one node of TestCluster…, run by that test")
	}
	if err := runNode(file); err != nil {
		fmt.Fprintln(os.Stderr, err) // a node's last words are read from there
		t.FailNow()
	}
}

// runNode runs a nats-server until it is asked to end.
func runNode(file string) error {
	o, err := server.ProcessConfigFile(file)
	if err != nil {
		return err
	}
	o.NoSigs = true
	ns, err := server.NewServer(o)
	if err != nil {
		return err
	}
	ns.ConfigureLogger()
	ns.Start()
	defer ns.WaitForShutdown()
	defer ns.Shutdown()
	if !ns.ReadyForConnections(patience) {
		return errors.New("the node does not listen")
	}
	fmt.Println("node ready")
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
	return nil
}

// node is one process of a cluster.
type node struct {
	*process
	mqtt string
	file string
}

func (n *node) run(t testing.TB) {
	t.Helper()
	t.Setenv(clusterNodeFile, n.file)
	n.process = start(t, os.Args[0], "-test.run=^TestClusterNode$", "-test.timeout=30m")
}

// newCluster starts three nodes on the files of a centre's directory; names are those of the stations that it will know.
func newCluster(t testing.TB, dir string, names []string) []*node {
	t.Helper()
	users := []string{`		{user: "CN=centre"}`}
	for _, n := range names {
		own := "wp.v1." + fleetJurisdiction + "." + n + "."
		users = append(users, fmt.Sprintf(`		{user: "CN=%s,O=%s", permissions: {publish: ["%[3]sevent.*", "%[3]sstate", "%[3]sreply.*"], subscribe: ["%[3]scmd"]}}`,
			n, fleetJurisdiction, own))
	}
	text, err := os.ReadFile(filepath.Join("testdata", "nats-node.conf"))
	if err != nil {
		t.Fatal(err)
	}
	var nodes []*node
	var routes []string
	for range 3 {
		nodes = append(nodes, &node{mqtt: freeAddress(t)})
		routes = append(routes, freeAddress(t))
	}
	for i, n := range nodes {
		n.file = filepath.Join(t.TempDir(), "node.conf")
		config := strings.NewReplacer("NODE", fmt.Sprintf("node-%d", i), "STORE", filepath.Join(t.TempDir(), "store"), "ROUTES", "nats://"+strings.Join(routes, ", nats://"),
			"ROUTE", routes[i], "MQTT", n.mqtt, "FILES", dir, "USERS", strings.Join(users, "\n")).Replace(string(text))
		if err := os.WriteFile(n.file, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		n.run(t)
	}
	for _, n := range nodes {
		n.line("node ready")
	}
	return nodes
}

// front is what a name with several addresses is to stations: it leads each connection to a node that takes it.
type front struct {
	net.Listener
	nodes []*node

	mu   sync.Mutex // guards the fields below
	next int
	on   map[string]int // connections led, by node
}

func newFront(t testing.TB, nodes []*node) *front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{Listener: l, nodes: nodes, on: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				wg.Go(func() { f.lead(ctx, c) })
			}
		}
	})
	t.Cleanup(func() { cancel(); _ = l.Close(); wg.Wait() })
	return f
}

// lead joins a client to the next node that takes it, until one of them hangs up.
func (f *front) lead(ctx context.Context, client net.Conn) {
	defer func() { _ = client.Close() }()
	f.mu.Lock()
	first := f.next
	f.next++
	f.mu.Unlock()
	for i := range f.nodes {
		to := f.nodes[(first+i)%len(f.nodes)].mqtt
		dialer := net.Dialer{Timeout: time.Second}
		c, err := dialer.DialContext(ctx, "tcp", to)
		if err != nil {
			continue
		}
		f.mu.Lock()
		f.on[to]++
		f.mu.Unlock()
		stop := context.AfterFunc(ctx, func() { _ = c.Close(); _ = client.Close() })
		defer stop()
		var wg sync.WaitGroup
		pipe := func(a, b net.Conn) {
			_, _ = io.Copy(a, b) // either end may hang up
			_, _ = a.Close(), b.Close()
		}
		wg.Go(func() { pipe(c, client) })
		pipe(client, c)
		wg.Wait()
		return
	}
}

// TestCluster: a centre whose broker is a NATS cluster of three nodes loses one of them by kill -9 while stations tell. Nothing of
// ours knows of it: nothing is lost, and nothing is doubled or out of order after the consumer. The first to die is the node that
// the centre itself is connected to; it comes back, and another one dies.
func TestCluster(t *testing.T) {
	const count, rate = 20, 400 // events a second of all stations
	var nodes []*node
	var f *front
	var names []string
	for i := range count {
		names = append(names, stationName(i))
	}
	c := newCentreOn(t, func(t testing.TB, dir string) string {
		nodes = newCluster(t, dir, names)
		f = newFront(t, nodes)
		return "tls://" + f.Addr().String()
	})
	s := newFleet(t, c, "", count)
	s.up(2*time.Minute, time.Time{})
	s.tell(1)
	s.drained(time.Minute)
	for round, victim := range []int{0, 1} {
		stop := s.keepTelling(rate)
		pause := time.NewTimer(4 * time.Second)
		<-pause.C
		nodes[victim].kill()
		fell := time.Now()
		pause.Reset(12 * time.Second)
		<-pause.C
		told := stop()
		s.up(time.Minute, time.Time{})
		s.drained(2 * time.Minute)
		t.Logf("round %d: %d events told, all receipts %s after the kill of node %d; connections led: %v", round+1, told, age(fell), victim, f.on)
		stall, late := c.stall(fell)
		figure(fmt.Sprintf("cluster/stall-%d", round+1), stall.Seconds(), "s", 10)
		figure(fmt.Sprintf("cluster/latest-%d", round+1), late.Seconds(), "s", 60)
		nodes[victim].run(t)
		nodes[victim].line("node ready")
	}
	v := s.judge()
	if v.Acked < rate*20 {
		t.Errorf("only %d events were told", v.Acked)
	}
}

// keepTelling has random stations tell so many facts a second, until the function that it answers is called.
func (s *stations) keepTelling(rate int) (stop func() (told int)) {
	ctx, cancel := context.WithCancel(s.t.Context())
	var running sync.WaitGroup
	told := 0
	random := rand.New(rand.NewPCG(1, 2))
	severities := []event.Severity{event.SeverityAlarm, event.SeverityNotice, event.SeverityNotice, event.SeverityTrace}
	running.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := s.Tell(context.WithoutCancel(ctx), random.IntN(s.Len()), severities[random.IntN(len(severities))]); err != nil {
				s.t.Error(err)
				return
			}
			told++
		}
	})
	return func() int { cancel(); running.Wait(); return told }
}

// stall is the longest time, from shortly before since on, in which nothing was stored, and the age of the oldest event when it
// was stored.
func (c *centre) stall(since time.Time) (stall, late time.Duration) {
	c.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(c.dir, ledgerFile)+"?mode=ro&_pragma=busy_timeout(10000)")
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.QueryContext(c.t.Context(), "SELECT station, received, record FROM event WHERE received > ?", since.Add(-time.Second).UnixNano())
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var times []int64
	for rows.Next() {
		var station string
		var at int64
		var record []byte
		if err := rows.Scan(&station, &at, &record); err != nil {
			c.t.Fatal(err)
		}
		e, err := event.DecodeRecord(station, event.Epoch{1}, record)
		if err != nil {
			c.t.Fatal(err)
		}
		if fleet.KeyOf(e) == "" {
			continue
		}
		times = append(times, at)
		late = max(late, time.Unix(0, at).Sub(e.At))
	}
	if err := cmp.Or(rows.Err(), rows.Close()); err != nil {
		c.t.Fatal(err)
	}
	slices.Sort(times)
	for i := 1; i < len(times); i++ {
		stall = max(stall, time.Duration(times[i]-times[i-1]))
	}
	return stall, late
}
