// A station is the whole of it: what the village's inputs, panels and cameras tell is put on disk, then told to each
// centre, and what a centre may ask for is done.
//
// This is the one package that sees drivers, storage and uplink together; all wiring is here and is read top to bottom
// in New. Two stations run in one process without sharing a variable.
package station

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"watchpost/drivers"
	"watchpost/drivers/bus"
	"watchpost/drivers/camera"
	"watchpost/drivers/dc09"
	"watchpost/drivers/dc09/sender"
	"watchpost/drivers/osdp"
	"watchpost/drivers/relay"
	"watchpost/firmware/config"
	"watchpost/firmware/supervise"
	"watchpost/storage/event"
	"watchpost/storage/eventlog"
	"watchpost/uplink/topic"
)

// stopGrace is how long each task may take to stop.
const stopGrace = 5 * time.Second

// Buses are back ends beyond the built-in ones, by the name that a configuration gives them.
type Buses struct {
	Lines   map[string]func(config.Board, *slog.Logger) (bus.Lines, error)
	I2C     map[string]func(config.Bus, *slog.Logger) (bus.I2C, error)
	OneWire map[string]func(config.Bus, *slog.Logger) (bus.OneWire, error)
}

// Options are what a station is made of.
type Options struct {
	Config  *config.Config
	Edition Edition
	Log     *slog.Logger
	Now     func() time.Time // nil = time.Now
	// Events is where the station keeps its events, and closes when it stops; nil = a log on disk in Config.Data.
	Events EventLog
	// NoDoor leaves the local door out, so that many stations of one process need no socket each.
	NoDoor bool
	// Packer is what the station's frames are packed with, so that the stations of one process may share one; nil = one of its own.
	Packer *topic.Packer
	// Listening, if set, is told each address that the panel receiver listens on.
	Listening func(net.Addr)
}

// teller is a driver that can say how its inputs stand.
type teller interface {
	drivers.Driver
	drivers.Snapshotter
}

// Station is one running station. Make it with New and run it once.
type Station struct {
	config  *config.Config
	version string
	log     *slog.Logger
	clock   clock
	started time.Time // by the wall clock
	begun   time.Time // by the process's
	events  EventLog
	memo    *memo
	in      *intake
	noDoor  bool

	wires     wires
	buses     []teller
	zones     []teller
	sensors   []teller
	outputs   []*relay.Driver
	tours     []teller
	receivers []*dc09.Receiver // none or one
	senders   []*sender.Sender
	cameras   []*camera.Camera
	test      *dailyTest              // nil = none
	guard     *guard                  // nil = no partition
	cards     *cardDesk               // nil = no card reader
	keyed     map[string]*osdp.Driver // by reader on RS-485
	veil      *veil

	oldest oldest
	jumps  atomic.Int64 // of the wall clock

	viewings *viewings
	centres  []*centre
	sup      *supervise.Supervisor
}

// New opens the station's log and wires its parts. What fails here no waiting mends: a data directory in use, a disk
// without even the reserve. What may mend (an address that is taken, a certificate that is not there yet) is tried again by Run.
func New(o Options) (_ *Station, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	boot, err := bootID()
	if err != nil {
		return nil, err
	}
	s := &Station{config: o.Config, version: o.Edition.Version, log: o.Log, clock: clock{o.Now, clockQuality, boot}, started: o.Now().UTC(), noDoor: o.NoDoor, begun: time.Now(), wires: newWires()}
	if s.events, err = openLog(o); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.wires.Close(), s.events.Close())
		}
	}()
	s.in = &intake{clock: s.clock, log: s.events}
	s.remember(o)
	if err := s.wireDrivers(o); err != nil {
		return nil, err
	}
	if err := s.wireGuard(o); err != nil {
		return nil, err
	}
	if err := s.wireUplink(o.Packer); err != nil {
		return nil, err
	}
	s.sup = supervise.New(o.Log, s.tasks()...)
	return s, nil
}

// remember reads the station's memo; without a log on disk there is none.
func (s *Station) remember(o Options) {
	dir := ""
	if o.Events == nil {
		dir = o.Config.Data
	}
	var err error
	if s.memo, err = openMemo(dir); err != nil {
		s.log.Warn("what the station remembered beside its log is lost", "err", err)
	}
}

func openLog(o Options) (EventLog, error) {
	if o.Events != nil {
		return o.Events, nil
	}
	c := o.Config
	var centres []string
	for _, x := range c.Centres {
		centres = append(centres, x.ID)
	}
	log, err := eventlog.Open(eventlog.Options{
		Dir: c.Data, Station: c.Station.ID, ReserveBytes: int64(c.Log.Reserve), Log: o.Log, Now: o.Now, Centres: centres, Key: c.Log.Key,
		Keep: map[event.Lane]int64{
			event.LaneMain: int64(c.Log.Keep.Main), event.LaneRead: int64(c.Log.Keep.Read), event.LaneTrace: int64(c.Log.Keep.Trace),
		},
	})
	switch {
	case errors.Is(err, eventlog.ErrKey) && c.Log.KeyFile == "":
		return nil, fmt.Errorf("log.key_file is not set: %w", err)
	case errors.Is(err, eventlog.ErrKey):
		return nil, fmt.Errorf("log.key_file %s: %w", c.Log.KeyFile, err)
	case err != nil:
		return nil, err
	}
	return log, nil
}

// wireDrivers makes what the station feels, sees and acts with, from its configuration: each hangs on what stands above it.
func (s *Station) wireDrivers(o Options) error {
	for _, wire := range []func(Options) error{
		s.wireBoards, s.wireBuses, s.wireExpanders, s.wireADCs,
		s.wireContacts, s.wireLoops, s.wireModbus,
		s.wireSensors, s.wirePower, s.wireOutputs, s.wireTours, s.wireOSDP, s.wirePanels, s.wireReceivers, s.wireCameras, s.wireTest,
	} {
		if err := wire(o); err != nil {
			return err
		}
	}
	return nil
}

// drivers are all that the station feels, sees and acts with, in the order of their start.
func (s *Station) drivers() []drivers.Driver {
	var all []drivers.Driver
	for _, d := range s.senders { // first to start, last to stop
		all = append(all, d)
	}
	for _, d := range slices.Concat(s.buses, s.zones, s.sensors, s.tours) {
		all = append(all, d)
	}
	for _, d := range s.outputs {
		all = append(all, d)
	}
	for _, d := range s.receivers {
		all = append(all, d)
	}
	for _, d := range s.cameras {
		all = append(all, d)
	}
	return all
}

// address names this station on the wire.
func (s *Station) address() topic.Address {
	return topic.Address{Jurisdiction: s.config.Station.Jurisdiction, Station: s.config.Station.ID}
}

// wireUplink makes what crosses the wide area: viewings, and one outbox, link and command desk for each centre.
func (s *Station) wireUplink(packer *topic.Packer) (err error) {
	if s.viewings, err = newViewings(s); err != nil {
		return err
	}
	if packer == nil {
		if packer, err = topic.NewPacker(); err != nil {
			return err
		}
	}
	for _, c := range s.config.Centres {
		x, err := s.newCentre(c, packer)
		if err != nil {
			return err
		}
		s.centres = append(s.centres, x)
	}
	return nil
}

// tasks are all goroutines of the station, in the order of their start; they stop in reverse, so that what tells the
// centres goes last and what hears the world goes first.
func (s *Station) tasks() []supervise.Task {
	var list []supervise.Task
	if !s.noDoor {
		list = append(list, supervise.Task{Name: "local door", Run: door{doorPath(s.config.Data), s.rooms()}.run})
	}
	for _, c := range s.centres {
		list = append(list, c.tasks()...)
	}
	if s.viewings.gallery != nil {
		list = append(list, supervise.Task{Name: "viewings", Run: s.viewings.run})
	}
	if s.guard != nil {
		list = append(list, supervise.Task{Name: "arming", Run: s.guard.run, Well: s.guard.well})
	}
	if s.cards != nil {
		list = append(list, supervise.Task{Name: "cards", Run: s.cards.run})
	}
	if s.test != nil {
		list = append(list, supervise.Task{Name: "daily test", Run: s.test.run})
	}
	for _, d := range s.drivers() {
		list = append(list, supervise.Task{Name: s.name(d), Run: func(ctx context.Context) error { return s.drive(ctx, d) }, Well: well(d)})
	}
	return append(s.watchdog(list), list...)
}

// drive runs one driver, and says how its start went where it can tell.
func (s *Station) drive(ctx context.Context, d drivers.Driver) error {
	start := func() { s.log.Info("driver starts", "driver", s.name(d), "outcome", s.outcome(ctx, d).String()) }
	if _, ok := d.(drivers.Prober); ok {
		start() // it may want for itself what Run wants
	} else {
		var asking sync.WaitGroup
		asking.Go(start)
		defer asking.Wait()
	}
	return d.Run(ctx, s.store)
}

// store is the drivers' Sink: a zone's word goes by way of the daily test or of arming where it is theirs.
func (s *Station) store(ctx context.Context, d event.Draft) error {
	switch zone := d.Kind == event.KindZoneChanged; {
	case zone && s.guard != nil && s.guard.zones[d.Zone]:
		return s.guard.store(ctx, d)
	case zone && s.test != nil:
		return s.test.store(ctx, d)
	}
	return s.in.store(ctx, d)
}

// Run tells that the station has started, and works until ctx ends. Then it stops in good order and closes the log. It
// also stops, with an error, when the log takes no more after a failed write: only a fresh start can tell what the disk
// still holds.
func (s *Station) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { s.watch(ctx, stop) })
	defer watch.Wait()
	defer stop(nil)
	s.tell(ctx, event.KindStationStarted, event.QualifierNew)
	s.tellFilters(ctx)
	s.log.Info("station is up", "station", s.config.Station.ID, "version", s.version, "epoch", s.events.Epoch(),
		"drivers", len(s.drivers()), "centres", len(s.centres))
	err := s.sup.Run(ctx, stopGrace)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	s.tell(last, event.KindStationStopped, event.QualifierRestore)
	if cause := context.Cause(ctx); errors.Is(cause, eventlog.ErrFailed) {
		err = errors.Join(err, fmt.Errorf("%w: check the disk and start the agent again", cause))
	}
	err = errors.Join(err, s.wires.Close(), s.events.Close())
	s.log.Info("station is down")
	return err
}

// watch ends the run when the log has stopped, and counts the steps of the wall clock.
func (s *Station) watch(ctx context.Context, stop context.CancelCauseFunc) {
	const look = 2 * time.Second
	tick := time.NewTicker(look)
	defer tick.Stop()
	for before := s.clock.now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := s.events.Err(); err != nil {
				stop(err)
				return
			}
			now := s.clock.now()
			if step := stepped(before, now); step.Abs() > clockStep {
				s.jumps.Add(1)
				s.log.Warn("the wall clock was set", "by", step.Round(time.Millisecond), "now", now.UTC(), "quality", s.clock.quality())
			}
			before = now
		}
	}
}

// tell keeps an event of the station itself; that it could not is no reason to stop.
func (s *Station) tell(ctx context.Context, k event.Kind, q event.Qualifier) {
	err := s.in.store(ctx, event.Draft{
		Kind: k, Qualifier: q, Source: sourceStation, Severity: event.SeverityNotice,
		Body: event.NewBody(event.Text(event.TagVersion, s.version)),
	})
	if err != nil {
		s.log.Error("an event of the station itself is not stored", "kind", k, "err", err)
	}
}
