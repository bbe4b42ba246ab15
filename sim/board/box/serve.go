package box

import (
	"context"
	"fmt"
	"net"
	"os"

	"golang.org/x/sync/errgroup"

	"watchpost/sim/board/modbus"
)

// Port is a Modbus line or port as a station finds it.
type Port struct {
	Name string
	At   string // path of a serial line, or host:port
	run  func(context.Context) error
	shut func() error
}

// Open makes the serial lines, their links, and the TCP ports; Serve closes them.
func (b *Box) Open() ([]Port, error) {
	var ports []Port
	for _, v := range b.modbus {
		slaves := map[byte]*modbus.Slave{}
		for _, w := range v.Slaves {
			slaves[w.Unit] = b.Slaves[w.Unit]
		}
		var p Port
		var err error
		if v.Link != "" {
			p, err = openLine(v, slaves)
		} else {
			p, err = openTCP(v, slaves)
		}
		if err != nil {
			for _, p := range ports {
				_ = p.shut() // the first error is told
			}
			return nil, fmt.Errorf("modbus %s: %w", v.Name, err)
		}
		ports = append(ports, p)
	}
	return ports, nil
}

func openLine(v Modbus, slaves map[byte]*modbus.Slave) (Port, error) {
	line, err := modbus.OpenLine()
	if err != nil {
		return Port{}, err
	}
	if info, err := os.Lstat(v.Link); err == nil && info.Mode()&os.ModeSymlink != 0 {
		_ = os.Remove(v.Link) // of an earlier run; if it stays, the next step says so
	}
	if err := os.Symlink(line.Path, v.Link); err != nil {
		_ = line.Close() // nobody was told of it
		return Port{}, fmt.Errorf("linking the serial line: %w", err)
	}
	return Port{
		Name: v.Name, At: v.Link, run: func(ctx context.Context) error { return modbus.ServeRTU(ctx, line, slaves) },
		shut: func() error { _ = os.Remove(v.Link); return line.Close() },
	}, nil
}

func openTCP(v Modbus, slaves map[byte]*modbus.Slave) (Port, error) {
	ln, err := net.Listen("tcp", v.Listen)
	if err != nil {
		return Port{}, fmt.Errorf("listening: %w", err)
	}
	return Port{
		Name: v.Name, At: ln.Addr().String(), run: func(ctx context.Context) error { return modbus.ServeTCP(ctx, ln, slaves) },
		shut: ln.Close,
	}, nil
}

// Serve answers stations on ln and masters on the ports until ctx ends, and closes them all.
func (b *Box) Serve(ctx context.Context, ln net.Listener, ports []Port) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return b.Board.Serve(ctx, ln) })
	for _, p := range ports {
		group.Go(func() error {
			err := p.run(ctx)
			_ = p.shut() // a TCP port is closed already, and a line has nothing to say
			return err
		})
	}
	return group.Wait()
}
