package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"watchpost/sim/panel"
	"watchpost/storage/event"
)

// killPanels is how many panels bring the station its events: one may send 1,000 frames a second.
const killPanels = 4

// ledgerOfPanel counts what a panel was acknowledged. It is the panel's record.
type ledgerOfPanel struct {
	mu    sync.Mutex // guards the fields below
	acked []int
}

// Write takes one line of the record.
func (l *ledgerOfPanel) Write(line []byte) (int, error) {
	if bytes.HasPrefix(line, []byte("acked ")) {
		var n int
		if _, err := fmt.Sscanf(string(line), "acked %d", &n); err != nil {
			return 0, err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.acked = append(l.acked, n)
	}
	return len(line), nil
}

func (l *ledgerOfPanel) count() int { l.mu.Lock(); defer l.mu.Unlock(); return len(l.acked) }

func panelAccount(i int) string { return fmt.Sprintf("20%02d", i) }

// report has a panel report each number once, with a text that makes the event as long as the bridge's messages.
func report(ctx context.Context, to, account string, each int, seed uint64, record *ledgerOfPanel) error {
	p, err := panel.New(panel.Options{To: to, Account: account, Codes: []string{"AT"}, Window: 32, Record: record, MaxBackOff: 200 * time.Millisecond})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.Run(ctx) })
	g.Go(func() error {
		random := rand.New(rand.NewPCG(seed, 2))
		text := make([]byte, 370)
		pace := time.NewTicker(time.Second / (killRate / killPanels))
		defer pace.Stop()
		for range each {
			<-pace.C
			for i := range text {
				text[i] = 'a' + byte(random.IntN(26))
			}
			if err := p.Raise(ctx, panel.Report{Text: string(text)}); err != nil {
				return err
			}
		}
		for ctx.Err() == nil && record.count() < each {
			<-pace.C
		}
		stop()
		return nil
	})
	return g.Wait()
}

// killOurs is killBridge with the shipped agent: the same number of events of the same size at the same pace, from panels that
// repeat what was not acknowledged; the link is cut meanwhile, the agent killed in the middle, and the centre's store counted.
func killOurs(t *testing.T) {
	c := newCentreOn(t, mosquitto)
	gate := newRelay(t, strings.TrimPrefix(c.broker, "tls://"), nil)
	plan := caoping(c)
	for i := range killPanels {
		plan.accounts += fmt.Sprintf("  - {id: \"%s\", name: panel %d}\n", panelAccount(i), i)
	}
	v := plan.build(t)
	config, err := os.ReadFile(v.config)
	if err != nil {
		t.Fatal(err)
	}
	put(t, map[string]string{v.config: strings.ReplaceAll(string(config), c.broker, "tls://"+gate.addr)})
	v.start()
	records := make([]ledgerOfPanel, killPanels)
	g, ctx := errgroup.WithContext(t.Context())
	for i := range records {
		g.Go(func() error {
			return report(ctx, "tcp://"+v.panels, panelAccount(i), killEvents/killPanels, uint64(i), &records[i])
		})
	}
	total := func() (n int) {
		for i := range records {
			n += records[i].count()
		}
		return n
	}
	within(t, time.Minute, "half of the events", func() error {
		if n := total(); n < killEvents/2 {
			return fmt.Errorf("%d of %d", n, killEvents)
		}
		return nil
	})
	v.agent.kill()
	v.start()
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	gate.open.Store(true)
	v.drained()
	arrived := map[string]*marks{}
	for i := range killPanels {
		arrived[panelAccount(i)] = &marks{}
	}
	bytes := 0
	for _, e := range c.stored(v.id) {
		account, _ := e.Body.Text(event.TagAccount)
		for _, n := range panelMarks([]event.Event{e}) {
			arrived[account].add(n)
			record, err := event.AppendRecord(nil, e)
			if err != nil {
				t.Fatal(err)
			}
			bytes += len(record)
		}
	}
	lost, again, outOfOrder := 0, 0, 0
	for i := range records {
		m := arrived[panelAccount(i)]
		lost, again, outOfOrder = lost+m.missing(records[i].acked), again+m.again, outOfOrder+m.outOfOrder
	}
	t.Logf("ours: %d acknowledged, %d bytes an event on disk", total(), bytes/killEvents)
	figure("events-kill/ours-lost", float64(lost), fmt.Sprintf("of_%d", killEvents), 0)
	figure("events-kill/ours-duplicated", float64(again), "events", 0)
	figure("events-kill/ours-out-of-order", float64(outOfOrder), "events", 0)
	if files, err := filepath.Glob(filepath.Join(v.dir, "data", "events.corrupt-*")); err != nil || len(files) > 0 {
		t.Errorf("a kill cost the log: %v, %v", files, err)
	}
}
