package modbus

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// testSlave is the memory of one slave. It reads and writes PDUs by hand: it shares no code with the package.
type testSlave struct {
	mu             sync.Mutex // guards the fields below
	coils, inputs  [1 << 16]bool
	holding, input [1 << 16]uint16
	refuse         map[uint16]byte // reads that touch an address are refused with this code
	dead           bool
	asked          []time.Time
}

// newTestSlave has something different at every address.
func newTestSlave() *testSlave {
	s := &testSlave{refuse: map[uint16]byte{}}
	for i := range s.holding {
		s.inputs[i], s.input[i] = i*7%3 == 0, uint16(i*31)
	}
	return s
}

func (s *testSlave) set(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

func (s *testSlave) answer(q []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, n := uint16(q[1])<<8+uint16(q[2]), int(q[3])<<8+int(q[4])
	for i := range n {
		if code := s.refuse[at+uint16(i)]; code > 0 && q[0] < 5 {
			return []byte{q[0] + 128, code}
		}
	}
	switch q[0] {
	case 1:
		return pack(q[0], s.coils[:], at, n)
	case 2:
		return pack(q[0], s.inputs[:], at, n)
	case 3, 4:
		from := s.holding[:]
		if q[0] == 4 {
			from = s.input[:]
		}
		a := []byte{q[0], byte(n * 2)}
		for i := range n {
			v := from[int(at)+i]
			a = append(a, byte(v>>8), byte(v))
		}
		return a
	case 5:
		s.coils[at] = q[3] == 255
		return q
	case 6:
		s.holding[at] = uint16(q[3])<<8 + uint16(q[4])
		return q
	case 15:
		for i := range n {
			s.coils[int(at)+i] = q[6+i/8]&(1<<(i%8)) != 0
		}
		return q[:5]
	case 16:
		for i := range n {
			s.holding[int(at)+i] = uint16(q[6+2*i])<<8 + uint16(q[7+2*i])
		}
		return q[:5]
	}
	return []byte{q[0] + 128, 1}
}

func pack(f byte, from []bool, at uint16, n int) []byte {
	a := []byte{f, byte((n + 7) / 8)}
	a = append(a, make([]byte, (n+7)/8)...)
	for i := range n {
		if from[int(at)+i] {
			a[2+i/8] += 1 << (i % 8)
		}
	}
	return a
}

// sum is the checksum by another way than the package's: long division over the reflected message.
func sum(b []byte) []byte {
	crc := uint32(0xffff)
	for _, c := range b {
		for i := range 8 {
			bit := crc>>15&1 ^ uint32(c)>>i&1
			crc = crc << 1 & 0xffff
			if bit == 1 {
				crc ^= 0x8005
			}
		}
	}
	var low, high byte
	for i := range 8 {
		high += byte(crc>>i&1) << (7 - i)
		low += byte(crc>>(8+i)&1) << (7 - i)
	}
	return []byte{low, high}
}

// bank is the slaves of one serial line.
type bank struct {
	units map[byte]*testSlave
	baud  int           // answers take the time of their characters; 0 = none
	think time.Duration // before each answer
	echo  bool          // the master hears itself

	mu     sync.Mutex                 // guards the field below
	mangle func(answer []byte) []byte // what the line makes of an answer; nil = nothing
}

// serve answers on a line until it is closed. It cuts requests by their length, as the function says.
func (k *bank) serve(line io.ReadWriter) error {
	in := make([]byte, 0, 512)
	for {
		chunk := make([]byte, 256)
		n, err := line.Read(chunk)
		if err != nil {
			return nil // closed
		}
		in = append(in, chunk[:n]...)
		if len(in) < 8 || (in[1] >= 15 && len(in) < 9+int(in[6])) {
			continue
		}
		q := in
		in = in[:0]
		if k.echo {
			if _, err := line.Write(q); err != nil {
				return nil
			}
		}
		if err := k.one(line, q); err != nil {
			return nil
		}
	}
}

func (k *bank) one(line io.Writer, q []byte) error {
	body := q[:len(q)-2]
	if string(sum(body)) != string(q[len(q)-2:]) {
		return nil // a damaged question has no answer
	}
	s := k.units[q[0]]
	if s == nil {
		return nil
	}
	s.mu.Lock()
	s.asked = append(s.asked, time.Now())
	dead := s.dead
	s.mu.Unlock()
	if dead {
		return nil
	}
	a := append([]byte{q[0]}, s.answer(body[1:])...)
	a = append(a, sum(a)...)
	wait := k.think
	if k.baud > 0 {
		wait += time.Duration(len(q)+len(a)) * 11 * time.Second / time.Duration(k.baud)
	}
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		<-timer.C
	}
	k.mu.Lock()
	if k.mangle != nil {
		a = k.mangle(a)
	}
	k.mu.Unlock()
	_, err := line.Write(a)
	return err
}

// tcpSlave is the same memory behind a listener.
type tcpSlave struct {
	*testSlave
	mangle func(frame []byte) []byte // what becomes of an answer with its header; nil = nothing

	count sync.Mutex // guards the field below, and mangle at work
	conns int
}

func (s *tcpSlave) serve(ctx context.Context, ln net.Listener) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		} else if err != nil {
			return err
		}
		s.count.Lock()
		s.conns++
		s.count.Unlock()
		wg.Go(func() {
			defer conn.Close()
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer stop()
			s.talk(conn)
		})
	}
}

func (s *tcpSlave) talk(conn net.Conn) {
	for {
		h := make([]byte, 7)
		if _, err := io.ReadFull(conn, h); err != nil {
			return
		}
		q := make([]byte, int(h[4])<<8+int(h[5])-1)
		if _, err := io.ReadFull(conn, q); err != nil {
			return
		}
		a := s.answer(q)
		f := append([]byte{h[0], h[1], 0, 0, 0, byte(len(a) + 1), h[6]}, a...)
		if s.mangle != nil {
			s.count.Lock()
			f = s.mangle(f)
			s.count.Unlock()
		}
		if _, err := conn.Write(f); err != nil {
			return
		}
	}
}

// connections is how many connections were made.
func (s *tcpSlave) connections() int {
	s.count.Lock()
	defer s.count.Unlock()
	return s.conns
}
