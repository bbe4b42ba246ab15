package camera

import (
	"bytes"
	"errors"
	"time"

	"watchpost/drivers/rtsp/h264"
	"watchpost/storage/ring"
)

// bFramesSure is how many B-frames, or steps back in time, are seen before a stream counts as having them.
const bFramesSure = 3

// noKeyAfter is how long a stream may run without a picture that decoding can start with. "Smart" cameras
// stretch their GOP to 20 s and more.
const noKeyAfter = time.Minute

var errNoKey = errors.New("camera sent no key picture for a minute: set its I-frame interval to 2 s")

// feed takes the access units of one session into the ring.
type feed struct {
	camera   *Camera
	rate     uint32
	begun    time.Time
	sps, pps []byte // in force: from the session description, then in-band
	sets     *ring.Sets
	info     h264.Info
	started  bool // a key unit has been pushed
	clock    clock
	bframes  int
	gop      gop
}

// unit is called with each access unit; what is not decodable because it comes before the first IDR is let go.
func (f *feed) unit(u h264.Unit) error {
	now := f.camera.options.Now()
	inBandSPS, inBandPPS := f.parameters(u.NALs)
	if !f.started && (!u.Key || f.sps == nil || f.pps == nil) {
		if now.Sub(f.begun) > noKeyAfter {
			return errNoKey
		}
		return nil
	}
	at, stepped := f.clock.map90k(f.camera.last, u.Timestamp, f.rate, now, !f.started)
	f.camera.last = moment{time: at, at: now}
	out := ring.Unit{At: now, Time: at, Key: u.Key, Gap: u.Lost > 0 || stepped || !f.started}
	if u.Key {
		if f.sets == nil || !bytes.Equal(f.sets.SPS, f.sps) || !bytes.Equal(f.sets.PPS, f.pps) {
			f.sets = &ring.Sets{SPS: f.sps, PPS: f.pps}
			f.info, _ = h264.ParseSPS(f.sps) // D16: a set that cannot be read leaves the size unknown, the stream goes on
		}
		if !inBandSPS || !inBandPPS { // P9
			out.Packets = h264.Cut([][]byte{f.sps, f.pps}, at)
			out.Packets[len(out.Packets)-1].Marker = false
			out.Added = len(out.Packets)
		}
	}
	out.Sets = f.sets
	out.Packets = append(out.Packets, h264.Cut(u.NALs, at)...)
	f.camera.ring.Push(out)
	f.started = true
	f.measure(u, out, now)
	if u.Key {
		f.camera.up(f.info)
	}
	f.watchOrder(u)
	return nil
}

// parameters takes over the parameter sets in a unit.
func (f *feed) parameters(nals [][]byte) (sps, pps bool) {
	for _, nal := range nals {
		switch h264.TypeOf(nal) {
		case h264.SPS:
			sps = true
			if !bytes.Equal(f.sps, nal) {
				f.sps = bytes.Clone(nal)
			}
		case h264.PPS:
			pps = true
			if !bytes.Equal(f.pps, nal) {
				f.pps = bytes.Clone(nal)
			}
		}
	}
	return sps, pps
}

// watchOrder looks for B-frames: by slice type, or by timestamps that go back.
func (f *feed) watchOrder(u h264.Unit) {
	if f.bframes >= bFramesSure {
		return
	}
	b := f.clock.back
	for _, nal := range u.NALs {
		b = b || h264.IsB(nal)
	}
	if !b {
		return
	}
	if f.bframes++; f.bframes == bFramesSure {
		f.camera.reordered()
	}
}

// measure keeps the health up to date; rates are those of the last GOP.
func (f *feed) measure(u h264.Unit, out ring.Unit, now time.Time) {
	size := 0
	for _, nal := range u.NALs {
		size += len(nal)
	}
	c := f.camera
	c.mu.Lock()
	defer c.mu.Unlock()
	h := &c.health
	if u.Key && !f.gop.since.IsZero() {
		h.GOP = now.Sub(f.gop.since)
		h.BitRate, h.FrameRate = f.gop.rates(now)
	}
	if u.Key {
		f.gop = gop{since: now}
	}
	f.gop.bytes += size
	f.gop.units++
	if h.BitRate == 0 && now.Sub(f.gop.since) >= time.Second { // a first idea of a long GOP
		h.BitRate, h.FrameRate = f.gop.rates(now)
	}
	h.LastUnit = now
	h.Units++
	h.Bytes += uint64(size)
	h.Lost += uint64(u.Lost)
	h.Packets += uint64(len(out.Packets))
}

// gop sums up the GOP in progress.
type gop struct {
	since        time.Time
	bytes, units int
}

func (g *gop) rates(now time.Time) (bits int, frames float64) {
	s := now.Sub(g.since).Seconds()
	if s <= 0 {
		return 0, 0
	}
	return int(float64(g.bytes) * 8 / s), float64(g.units) / s
}

// clock turns a camera's RTP timestamps into the ring's, which run on through jumps and reconnects (P10).
type clock struct {
	last uint32 // of the camera
	back bool   // the last step went back a little: pictures are sent in another order than shown
}

// moment is where the ring's time stands: the last unit's RTP time and arrival. Zero At means none yet.
type moment struct {
	time uint32
	at   time.Time
}

// map90k returns the ring's time of a unit. Where the camera's clock cannot be followed – a new session, a
// jump of more than ten seconds or more than two back – the time between arrivals takes its place, and
// stepped says so.
func (k *clock) map90k(last moment, ts, rate uint32, now time.Time, fresh bool) (at uint32, stepped bool) {
	step := int64(int32(ts - k.last))
	k.last, k.back = ts, false
	if last.at.IsZero() {
		return ts, false
	}
	if fresh || step > 10*int64(rate) || step < -2*int64(rate) {
		passed := min(max(now.Sub(last.at), 40*time.Millisecond), time.Hour)
		return last.time + uint32(passed*90000/time.Second), true
	}
	k.back = step < 0
	return last.time + uint32(step*90000/int64(rate)), false
}
