package e2e

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"watchpost/storage/event"
)

// mixSeed is of no village that the wire's dictionary was trained on.
const mixSeed = 20260101

// mix makes the events of one village's days: what is said again and again, and ids, hashes, plates and times that are not.
type mix struct {
	*rand.Rand
	zones, cameras, people []string
	started                time.Time
}

func newMix(seed uint64) *mix {
	return &mix{
		Rand:    rand.New(rand.NewPCG(seed, seed)),
		zones:   []string{"school-front", "school-roof", "ferry-house", "tea-factory", "oil-press", "archive", "clinic-back", "transformer"},
		cameras: []string{"ferry", "north-bridge", "tea-road", "temple"},
		people:  []string{"luxiaoyan", "heguang", "shenbo", "duanqing", "tao"},
		started: time.Now(),
	}
}

func (m *mix) of(words ...string) string { return words[m.IntN(len(words))] }

func (m *mix) random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(m.Uint32())
	}
	return b
}

func (m *mix) id() string { return hex.EncodeToString(m.random(16)) }

// next is the next event: of 100, one an alarm, 24 from inputs, 25 from panels, 10 from cameras, 10 about viewings and 30 reads.
func (m *mix) next() event.Draft {
	var d event.Draft
	switch n := m.IntN(100); {
	case n < 25:
		d = m.zone(n == 0)
	case n < 50:
		d = m.panel()
	case n < 60:
		d = m.camera()
	case n < 70:
		d = m.viewing()
	default:
		d = m.read()
	}
	d.At = time.Now()
	d.KernelNS, d.BootID, d.ClockQuality = int64(time.Since(m.started))+m.Int64N(1e9)+3e14, 0x5b1f00d5, event.ClockSynced
	return d
}

func (m *mix) zone(alarm bool) event.Draft {
	zone := m.of(m.zones...)
	d := event.Draft{Kind: event.KindZoneChanged, Qualifier: event.QualifierRestore, Severity: event.SeverityNotice, Zone: zone, Source: "line/" + zone}
	fields := []event.Field{event.Text(event.TagState, "normal"), event.Text(event.TagPrevious, m.of("active", "fault", "missing")), event.Text(event.TagLine, "di-"+strconv.Itoa(m.IntN(32)))}
	if alarm {
		d.Qualifier, d.Severity = event.QualifierNew, event.SeverityAlarm
		fields = append(fields[2:], event.Text(event.TagState, "active"), event.Text(event.TagPrevious, "normal"), event.Text(event.TagCode, "BA"))
	}
	d.Body = event.NewBody(fields...)
	return d
}

func (m *mix) panel() event.Draft {
	zone := 1 + m.IntN(32)
	code := m.IntN(4)
	return event.Draft{
		Kind: event.KindPanelEvent, Qualifier: event.QualifierRestore, Severity: event.SeverityNotice, Source: "dc09/7731", Zone: fmt.Sprintf("7731/%03d", zone),
		Body: event.NewBody(event.Text(event.TagFormat, "sia"), event.Text(event.TagCode, []string{"OP", "CL", "BR", "RP"}[code]),
			event.Text(event.TagDetail, fmt.Sprintf("%s, zone %03d", []string{"opened", "closed", "burglary over", "periodic test"}[code], zone)),
			event.Text(event.TagAccount, "7731"), event.Text(event.TagArea, "1"), event.Text(event.TagUser, strconv.Itoa(m.IntN(40))),
			event.Text(event.TagText, m.of("茶厂", "油坊", "渡口", "小学")+m.of("东门", "西窗", "红外")+strconv.Itoa(zone)),
			event.Text(event.TagPanelSeq, fmt.Sprintf("%04d", m.IntN(10_000))), event.Text(event.TagLine, "0"), event.Uint(event.TagEncrypted, 1),
			event.Int(event.TagPanelTime, time.Now().Unix()*1e9)),
	}
}

func (m *mix) camera() event.Draft {
	id := m.of(m.cameras...)
	return event.Draft{
		Kind: event.KindCameraState, Qualifier: event.QualifierNew, Severity: event.SeverityWarning, Source: "camera/" + id,
		Body: event.NewBody(event.Text(event.TagState, "down"), event.Text(event.TagPrevious, "up"), event.Text(event.TagCamera, id), event.Text(event.TagProfile, "main"),
			event.Text(event.TagReason, "unreachable"), event.Text(event.TagDetail, fmt.Sprintf("dial tcp 10.21.%d.%d:554: i/o timeout: check its plug, power and network", m.IntN(256), m.IntN(256)))),
	}
}

func (m *mix) viewing() event.Draft {
	return event.Draft{
		Kind: event.KindViewingOpened, Qualifier: event.QualifierNew, Severity: event.SeverityNotice, Source: "station",
		Body: event.NewBody(event.Text(event.TagViewing, m.id()), event.Text(event.TagCommand, m.id()), event.Text(event.TagCamera, m.of(m.cameras...)),
			event.Text(event.TagProfile, "main"), event.Text(event.TagWho, m.of(m.people...)), event.Text(event.TagRole, "dispatcher"),
			event.Text(event.TagPurpose, m.of("核实渡口报警", "夜间巡查", "查找嫌疑车辆")+strconv.Itoa(m.IntN(1000)))),
	}
}

func (m *mix) read() event.Draft {
	id := m.of(m.cameras...)
	plate := fmt.Sprintf("%s·%c%04d", m.of("浙H", "赣E", "闽F"), 'A'+rune(m.IntN(26)), m.IntN(10_000))
	return event.Draft{
		Kind: 900, Qualifier: event.QualifierStatus, Severity: event.SeverityNotice, Source: "camera/" + id, // a kind that is not given out yet
		Body: event.NewBody(event.Text(event.TagCamera, id), event.Text(event.TagText, plate), event.Uint(event.TagCount, uint64(m.IntN(1000))), event.Bytes(event.TagBytes, m.random(32))),
	}
}

// parcel is one sort of MQTT packet that passed.
type parcel struct{ packets, bytes int }

// wire counts what passes between the station and its broker, headers and all, above TCP.
type wire struct {
	mu      sync.Mutex // guards the field below
	parcels map[string]*parcel
}

// look sees one connection.
func (w *wire) look() (up, down io.Writer) {
	return &wireSide{w: w, way: "up"}, &wireSide{w: w, way: "down"}
}

// of is what passed of these sorts.
func (w *wire) of(sorts ...string) (sum parcel) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, sort := range sorts {
		if p := w.parcels[sort]; p != nil {
			sum.packets, sum.bytes = sum.packets+p.packets, sum.bytes+p.bytes
		}
	}
	return sum
}

// reset forgets what passed so far.
func (w *wire) reset() { w.mu.Lock(); defer w.mu.Unlock(); w.parcels = map[string]*parcel{} }

// all is everything that passed.
func (w *wire) all() (sum parcel) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.parcels {
		sum.packets, sum.bytes = sum.packets+p.packets, sum.bytes+p.bytes
	}
	return sum
}

// wireSide takes one direction of a connection apart into MQTT packets (MQTT 3.1.1, 2.2).
type wireSide struct {
	w      *wire
	way    string
	buffer []byte
}

func (s *wireSide) Write(b []byte) (int, error) {
	s.buffer = append(s.buffer, b...)
	for len(s.buffer) > 1 {
		length, n := binary.Uvarint(s.buffer[1:])
		if n <= 0 || len(s.buffer) < 1+n+int(length) {
			break
		}
		size := 1 + n + int(length)
		s.w.add(s.way+" "+sortOf(s.buffer[0], s.buffer[1+n:size]), size)
		s.buffer = s.buffer[size:]
	}
	return len(b), nil
}

// sortOf is the leaf of a PUBLISH's topic, and "puback" or "other" for the rest.
func sortOf(first byte, rest []byte) string {
	const publish, puback = 3, 4
	switch {
	case first>>4 == puback:
		return "puback"
	case first>>4 != publish || len(rest) < 2:
		return "other"
	}
	name := string(rest[2 : 2+binary.BigEndian.Uint16(rest)])
	return strings.Split(name, "/")[4]
}

func (w *wire) add(sort string, size int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.parcels == nil {
		w.parcels = map[string]*parcel{}
	}
	if w.parcels[sort] == nil {
		w.parcels[sort] = &parcel{}
	}
	w.parcels[sort].packets++
	w.parcels[sort].bytes += size
}

// tell prints what an event cost, against its JSON view.
func (w *wire) tell(name string, hears *ear, goal float64) {
	hears.mu.Lock()
	events, json := float64(hears.events), float64(hears.json)
	hears.mu.Unlock()
	frames, receipts := w.of("up event", "down puback"), w.of("down cmd", "up puback")
	fact(name+"/json", json/events, "bytes/event")
	fact(name+"/frame", float64(frames.bytes)/events, "bytes/event")
	fact(name+"/receipts", float64(receipts.bytes)/events, "bytes/event")
	figure(name+"/to-json", float64(frames.bytes+receipts.bytes)/json, "x", goal)
	fact(name+"/frame-to-json", float64(frames.bytes)/json, "x")
	fact(name+"/all-to-json", float64(w.all().bytes)/json, "x")
}

// TestBenchEventsWire counts what passes between station and broker for each event, in both directions.
func TestBenchEventsWire(t *testing.T) {
	t.Run("backlog", func(t *testing.T) {
		const n = 20_000
		central, _ := newCentral(t)
		var w wire
		gate := newRelay(t, central, w.look)
		gate.open.Store(true)
		hears := newEar(t, central)
		dir := filepath.Join(t.TempDir(), "log")
		runChild(t, "write", dir, strconv.Itoa(n), "mix")
		startChild(t, "station", dir, gate.addr)
		hears.heard(n * 98 / 100) // one of 100 is an alarm
		hears.quiet()
		w.tell("events-wire/backlog", hears, 0.20)
	})
	t.Run("live", func(t *testing.T) {
		const n, every = 1000, 10 // ms
		central, _ := newCentral(t)
		var w wire
		gate := newRelay(t, central, w.look)
		gate.open.Store(true)
		hears := newEar(t, central)
		agent := startChild(t, "station", filepath.Join(t.TempDir(), "log"), gate.addr)
		hears.heard(2) // the log's first event, the station's start
		hears.quiet()
		hears.reset()
		w.reset()
		agent.say("mix %d %d %d", n, every, mixSeed)
		agent.line("did ")
		hears.quiet()
		w.tell("events-wire/live", hears, 0.40)
		receipt := w.of("down cmd")
		fact("events-wire/one-receipt", float64(receipt.bytes)/float64(receipt.packets), "bytes")
	})
}
