package outbox

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"watchpost/storage/event"
	"watchpost/storage/storagetest"
	"watchpost/uplink/topic"
)

// decoding is a log that decodes what it reads, as one on disk does.
type decoding struct {
	*storagetest.MemLog
	records [][]byte // of the main lane; records[i] has seq i+1
}

var _ Log = (*decoding)(nil)

func (d *decoding) Read(lane event.Lane, after uint64, n int) ([]event.Event, error) {
	if lane != event.LaneMain || after >= uint64(len(d.records)) {
		return nil, nil
	}
	var list []event.Event
	for _, b := range d.records[after:min(len(d.records), int(after)+n)] {
		e, err := event.DecodeRecord(stationID, d.Epoch(), b)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// backlog is a log of n events of about size bytes, part of which is random.
func backlog(tb testing.TB, n, size int) *decoding {
	random := rand.New(rand.NewPCG(1, 2))
	d := &decoding{MemLog: storagetest.NewMemLog(stationID)}
	for i := range n {
		noise := make([]byte, 32)
		for k := range noise {
			noise[k] = byte(random.Uint32())
		}
		text := fmt.Sprintf("大门 红外 %d ", i)
		for len(text) < size-120 {
			text += fmt.Sprintf("camera/gate-%d is up again; ", random.IntN(10_000))
		}
		if _, err := d.Append(tb.Context(), event.Draft{
			At: time.Unix(1_800_000_000, int64(i)*1e9), KernelNS: int64(i) * 1e9, Kind: event.KindZoneChanged, Qualifier: event.QualifierNew, Zone: "office-door",
			Source: "line/office-door", Severity: event.SeverityNotice, Body: event.NewBody(event.Text(event.TagText, text), event.Bytes(event.TagBytes, noise)),
		}); err != nil {
			tb.Fatal(err)
		}
	}
	events, err := d.MemLog.Read(event.LaneMain, 0, n+1)
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range events {
		b, err := event.AppendRecord(nil, e)
		if err != nil {
			tb.Fatal(err)
		}
		d.records = append(d.records, b)
	}
	return d
}

// swallow acknowledges and receipts at once. It reads no more of a frame than its head: the events of the lane follow on.
type swallow struct {
	box   *Outbox
	full  chan struct{}
	want  uint64
	bytes *int
}

func (s swallow) Publish(_ context.Context, _ string, payload []byte, acked func()) error {
	prev, n := binary.Uvarint(payload[12:])
	count, _ := binary.Uvarint(payload[12+n:])
	*s.bytes += len(payload)
	acked()
	r := topic.Receipt{Station: stationID, Epoch: s.box.o.Log.Epoch(), Lane: event.LaneMain, Upto: prev + count}
	if err := s.box.Receipt(r); err != nil {
		return err
	}
	if r.Upto == s.want {
		close(s.full)
	}
	return nil
}

// BenchmarkDrain is all that a backlog costs the station but its disk and the network: read, decode, pack, publish, take the
// acknowledgement and the receipt.
func BenchmarkDrain(b *testing.B) {
	for _, size := range []int{160, 512} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			const n = 20_000
			log := backlog(b, n, size)
			packer, err := topic.NewPacker()
			if err != nil {
				b.Fatal(err)
			}
			bytes := 0
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				box, err := New(Options{Log: log, Centre: fmt.Sprint("centre-", i), Address: topic.Address{Jurisdiction: "changshan", Station: stationID}, Packer: packer})
				if err != nil {
					b.Fatal(err)
				}
				drainOnce(b, box, swallow{box: box, full: make(chan struct{}), want: n + 1, bytes: &bytes})
			}
			b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/n, "µs/event")
			b.ReportMetric(float64(bytes)/float64(b.N)/n, "bytes/event")
		})
	}
}

func drainOnce(tb testing.TB, box *Outbox, s swallow) {
	ctx, cancel := context.WithCancel(tb.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := box.Run(ctx, s); err != nil {
			tb.Error(err)
		}
	})
	<-s.full
	cancel()
	wg.Wait()
}
