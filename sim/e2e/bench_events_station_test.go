package e2e

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"golang.org/x/sync/errgroup"

	"watchpost/firmware/config"
	"watchpost/firmware/station"
	"watchpost/storage/event"
	"watchpost/storage/eventlog"
	"watchpost/uplink/topic"
)

// benchAddress is the station of the figures.
func benchAddress() topic.Address {
	return topic.Address{Jurisdiction: "changshan", Station: benchStation}
}

// benchKey signs for the centre of the figures.
func benchKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) }

// childStation DIR BROKER is the shipped station, without inputs, over a log that this process also writes to as standard
// input says:
//
//	append N        N events of noise, ingestBatch to a commit
//	beat MS         one alarm every so many milliseconds, from now on
//	mix N MS SEED   N events as a village makes them, one every so many milliseconds
//
// Each append and mix is answered by a line "did SECONDS CPU-SECONDS". In clear, since what is on the wire is counted.
func childStation(args []string, in io.Reader, out io.Writer) error {
	debug.SetMemoryLimit(64 << 20) // as station.Main does
	l, err := openBenchLog(args[0])
	if err != nil {
		return err
	}
	a := benchAddress()
	s, err := station.New(station.Options{
		Config: &config.Config{
			Station: config.Station{ID: a.Station, Jurisdiction: a.Jurisdiction, Name: "草坪村"}, Data: args[0],
			Centres: []config.Centre{{ID: a.Jurisdiction, Broker: "tcp://" + args[1], CommandKey: config.Key(benchKey().Public().(ed25519.PublicKey))}},
		},
		Edition: station.Edition{Version: "bench"}, Events: l, NoDoor: true,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.Run(ctx) })
	g.Go(func() error {
		defer stop()
		fmt.Fprintln(out, "ready")
		for lines := bufio.NewScanner(in); lines.Scan(); {
			if err := feed(ctx, g, l, lines.Text(), out); err != nil {
				return err
			}
		}
		return nil
	})
	return g.Wait()
}

// feed does what one line of childStation's input says.
func feed(ctx context.Context, g *errgroup.Group, l *eventlog.Log, line string, out io.Writer) error {
	var word string
	var n, ms int
	var seed uint64
	if _, err := fmt.Sscan(line, &word, &n, &ms, &seed); word == "" {
		return err
	}
	cpu, err := cpuSeconds()
	if err != nil {
		return err
	}
	begun := time.Now()
	switch word {
	case "append":
		random := rand.NewChaCha8([32]byte{7})
		err = fill(l, n, func() event.Draft { return benchNoise(random, event.SeverityNotice) })
	case "beat":
		g.Go(func() error { return beat(ctx, l, time.Duration(n)*time.Millisecond) })
		return nil
	case "mix":
		pace := time.NewTicker(time.Duration(ms) * time.Millisecond)
		defer pace.Stop()
		for village := newMix(seed); n > 0 && err == nil; n-- {
			_, err = l.Append(ctx, village.next())
			<-pace.C
		}
	}
	if err != nil {
		return err
	}
	return did(out, begun, cpu)
}

// fill appends n events, ingestBatch to a commit.
func fill(l *eventlog.Log, n int, next func() event.Draft) error {
	for ; n > 0; n -= ingestBatch {
		drafts := make([]event.Draft, min(n, ingestBatch))
		for i := range drafts {
			drafts[i] = next()
		}
		if _, err := l.Append(context.Background(), drafts...); err != nil {
			return err
		}
	}
	return nil
}

// beat appends one alarm after the other until ctx ends.
func beat(ctx context.Context, l *eventlog.Log, every time.Duration) error {
	pace, random := time.NewTicker(every), rand.NewChaCha8([32]byte{9})
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-pace.C:
		}
		if _, err := l.Append(ctx, benchNoise(random, event.SeverityAlarm)); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// ear is a centre as far as the figures need one: a QoS 1 subscriber that follows the chain rule and gives receipts as the
// real one does, without a store.
type ear struct {
	t      testing.TB
	client paho.Client
	inbox  chan heardFrame
	heads  map[event.Lane]uint64 // of the worker alone
	due    map[event.Lane]int    // events without a receipt; of the worker alone

	mu          sync.Mutex // guards the fields below
	epoch       event.Epoch
	first, last time.Time // when events of the main lane came
	before      int       // how many of them came with the first frame
	count       int       // of the main lane
	events      int       // of all lanes
	json        int       // bytes of their JSON view
	alarms      []arrival
}

// heardFrame is a message as it came.
type heardFrame struct {
	payload []byte
	at      time.Time
}

// arrival is one alarm of beat.
type arrival struct {
	at   time.Time
	took float64 // ms from its append
}

func newEar(t testing.TB, central string) *ear {
	t.Helper()
	e := &ear{t: t, inbox: make(chan heardFrame, 1<<16), heads: map[event.Lane]uint64{}, due: map[event.Lane]int{}}
	var working sync.WaitGroup
	done := make(chan struct{})
	t.Cleanup(func() { close(done); working.Wait() })
	e.client = benchClient(t, "centre", central)
	working.Go(func() { e.work(done) })
	token := e.client.Subscribe("wp/v1/+/+/event/+", 1, func(_ paho.Client, m paho.Message) { e.inbox <- heardFrame{m.Payload(), time.Now()} })
	if !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatalf("subscribing: %v", token.Error())
	}
	return e
}

// work takes frames, and gives a receipt at once for alarms, after 256 events of another lane, and within a second.
func (e *ear) work(done <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var frames topic.Unpacker
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			for lane, n := range e.due {
				if n > 0 {
					e.receipt(lane)
				}
			}
		case m := <-e.inbox:
			f, err := frames.DecodeFrame(benchStation, m.payload)
			if err != nil {
				e.t.Errorf("a frame of %d bytes: %v", len(m.payload), err)
				continue
			}
			verdict, fresh := topic.Accept(e.heads[f.Lane], f)
			e.take(m.at, f, fresh)
			e.heads[f.Lane] = max(e.heads[f.Lane], lastSeq(fresh))
			e.due[f.Lane] += len(fresh)
			if verdict != topic.VerdictStore || f.Lane == event.LaneAlarm || e.due[f.Lane] >= 256 {
				e.receipt(f.Lane)
			}
		}
	}
}

func lastSeq(es []event.Event) uint64 {
	if len(es) == 0 {
		return 0
	}
	return es[len(es)-1].Seq
}

// take counts what is new of a frame that came at a time. Events of a backlog are there once they are unpacked.
func (e *ear) take(at time.Time, f topic.Frame, fresh []event.Event) {
	now := time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.epoch = f.Epoch
	e.events += len(fresh)
	for _, x := range fresh {
		if isBenchNoise(x) && f.Lane == event.LaneAlarm {
			e.alarms = append(e.alarms, arrival{at, float64(at.Sub(x.At).Microseconds()) / 1000})
		}
		if !isBenchNoise(x) { // noise is no event as a village makes them
			b, err := json.Marshal(x)
			if err != nil {
				e.t.Error(err)
			}
			e.json += len(b)
		}
	}
	if f.Lane != event.LaneMain {
		return
	}
	if e.last = now; e.first.IsZero() {
		e.first, e.before = now, len(fresh)
	}
	e.count += len(fresh)
}

// receipt says what is stored of a lane: an Ed25519 signature over the cmd topic, a NUL and the JSON, and the JSON.
func (e *ear) receipt(lane event.Lane) {
	e.due[lane] = 0
	body, err := json.Marshal(topic.Receipt{Station: benchStation, Epoch: e.epoch, Lane: lane, Upto: e.heads[lane]})
	if err != nil {
		e.t.Error(err)
	}
	id := make([]byte, 8)
	for i := range id {
		id[i] = byte(rand.Uint32())
	}
	now := time.Now().UTC()
	text, err := json.Marshal(topic.Command{V: topic.Version, ID: hex.EncodeToString(id), Now: now, Expires: now.Add(30 * time.Second),
		Kind: topic.CommandReceipt, Body: body})
	if err != nil {
		e.t.Error(err)
	}
	cmd := benchAddress().Cmd()
	signature := ed25519.Sign(benchKey(), slices.Concat([]byte(cmd), []byte{0}, text))
	e.client.Publish(cmd, 1, false, append(signature, text...))
}

// heard waits for n events of the main lane.
func (e *ear) heard(n int) {
	e.t.Helper()
	within(e.t, 5*time.Minute, "the station's events", func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.count < n {
			return fmt.Errorf("%d of %d", e.count, n)
		}
		return nil
	})
}

// quiet waits until nothing has come for as long as a receipt may take.
func (e *ear) quiet() {
	e.t.Helper()
	before := -1
	again := time.NewTicker(2 * time.Second)
	defer again.Stop()
	for now := e.total(); now != before; now = e.total() {
		before = now
		<-again.C
	}
}

func (e *ear) total() int { e.mu.Lock(); defer e.mu.Unlock(); return e.events }

// reset forgets what was counted so far.
func (e *ear) reset() { e.mu.Lock(); defer e.mu.Unlock(); e.events, e.json, e.count = 0, 0, 0 }

// rate is how many events of the main lane came in a second, behind the first frame.
func (e *ear) rate() float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return float64(e.count-e.before) / e.last.Sub(e.first).Seconds()
}
