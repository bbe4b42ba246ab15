package station

import (
	"time"

	"watchpost/drivers"
	"watchpost/firmware/status"
	"watchpost/uplink/topic"
)

// readings are what drivers can say of their inputs now, by the input's name.
func readings[D drivers.Snapshotter](list []D) map[string]drivers.Reading {
	now := map[string]drivers.Reading{}
	for _, d := range list {
		for _, r := range d.Snapshot() {
			now[r.Name] = r
		}
	}
	return now
}

// present is what one centre is told of the station's present: the truth of this moment, whatever the backlog.
func (s *Station) present(x *centre) topic.State {
	stats, heads := s.events.Stats(), s.events.Heads()
	st := topic.State{
		Name: s.config.Station.Name, Started: s.started, Version: s.version, Epoch: s.events.Epoch(),
		Heads: heads, Stored: x.outbox.Stored(), Full: stats.Full, Carrier: x.config.Carrier,
		Heartbeat: int(x.config.Heartbeat / time.Second), Gauges: s.gauges(stats),
	}
	x.gauges(st.Gauges, heads, x.outbox.Stored())
	zones, panels, cameras := readings(s.zones), readings(s.receivers), readings(s.cameras)
	for _, z := range s.config.Zones {
		r := zones[z.ID]
		st.Zones = append(st.Zones, topic.ZoneState{ID: z.ID, Name: z.Name, State: orUnknown(r.State), Since: r.Since, Camera: z.Camera})
	}
	for _, a := range s.config.Panels.Accounts {
		r := panels["dc09/"+a.ID]
		st.Panels = append(st.Panels, topic.PanelState{Account: a.ID, Name: a.Name, State: orUnknown(r.State), Since: r.Since, Camera: a.Camera})
	}
	for _, c := range s.config.Cameras {
		r := cameras[c.ID]
		st.Cameras = append(st.Cameras, topic.CameraState{ID: c.ID, Name: c.Name, State: orUnknown(r.State), Since: r.Since, Reason: r.Text})
	}
	st.Partitions, st.Sensors = s.partitions(), s.sensorStates()
	return st
}

// sensorStates are what the sensors and the power have measured last.
func (s *Station) sensorStates() (list []topic.SensorState) {
	names := map[string]string{}
	for _, v := range s.config.Sensors {
		names[v.ID] = v.Name
	}
	for _, d := range s.sensors {
		for _, r := range d.Snapshot() {
			list = append(list, topic.SensorState{ID: r.Name, Name: names[r.Name], State: orUnknown(r.State), Text: r.Text, Since: r.Since})
		}
	}
	return list
}

// orUnknown keeps a state that nobody told from looking like a good one.
func orUnknown(state string) string {
	if state == "" {
		return "unknown"
	}
	return state
}

// status is how the station is, for the technician at the local door.
func (s *Station) status() status.Status {
	stats, heads := s.veil.stats(s.events.Stats()), s.veil.heads(s.events.Heads())
	st := status.Status{
		Station: s.config.Station.ID, Jurisdiction: s.config.Station.Jurisdiction, Name: s.config.Station.Name,
		Version: s.version, Started: s.started, At: s.clock.now().UTC(), Clock: s.clock.quality().String(),
		Log: status.Log{
			Epoch: s.events.Epoch().String(), Heads: map[string]uint64{}, Full: stats.Full, Refused: stats.Refused,
			Bytes: stats.DiskBytes, Free: stats.FreeBytes,
		},
		Viewings: s.viewings.status(), Faults: s.sup.Faults(),
		Gauges: s.gauges(stats),
	}
	for lane, head := range heads {
		st.Log.Heads[lane.String()] = head
	}
	for _, d := range s.drivers() {
		driver := status.Driver{Name: s.name(d)}
		if shot, ok := d.(drivers.Snapshotter); ok {
			for _, r := range shot.Snapshot() {
				driver.Readings = append(driver.Readings, status.Reading{Name: r.Name, State: r.State, Text: r.Text, Since: r.Since})
			}
		}
		st.Drivers = append(st.Drivers, driver)
	}
	for _, x := range s.centres {
		st.Centres = append(st.Centres, x.status(heads, s.veil.receipts(x.outbox.Stored())))
	}
	return st
}
