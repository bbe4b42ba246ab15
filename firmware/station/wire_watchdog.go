package station

import (
	"context"

	"watchpost/drivers"
	"watchpost/firmware/supervise"
)

// watchdog is the task that pets the hardware watchdog, if there is one, as long as the log and all drivers answer. It starts
// first and so stops last: a stop that hangs ends in a reset, too.
func (s *Station) watchdog(tasks []supervise.Task) []supervise.Task {
	if s.config.Watchdog.Device == "" {
		return nil
	}
	asked := append([]supervise.Task{{Name: "event log", Well: answers(func() { s.events.Heads() })}}, tasks...)
	dog := &supervise.Watchdog{Device: s.config.Watchdog.Device, Timeout: s.config.Watchdog.Timeout, Tasks: asked, Log: s.log}
	return []supervise.Task{{Name: "watchdog", Run: dog.Run}}
}

// well is how the watchdog asks a driver: one that holds its own lock for ever does not answer. Nil = it cannot be asked.
func well(d drivers.Driver) func(context.Context) error {
	if shot, ok := d.(drivers.Snapshotter); ok {
		return answers(func() { shot.Snapshot() })
	}
	return nil
}

// answers asks f, whose return is the answer.
func answers(f func()) func(context.Context) error {
	return func(context.Context) error {
		f()
		return nil
	}
}
