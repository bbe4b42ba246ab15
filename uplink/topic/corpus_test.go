package topic_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"

	"watchpost/storage/event"
)

// corpus is what one village's station might write down: its own names, ids and hashes, all from one seed. The dictionary is
// trained on some seeds and measured on others.
type corpus struct {
	*rand.Rand
	station string
	epoch   event.Epoch
	boot    uint32
	started time.Time
	at      time.Time
	seq     uint64
	zones   []string
	cameras []string
	people  []string
	account string
	version string
}

// kindRead stands for the plate reads, whose kind is not given out yet.
const kindRead event.Kind = 900

func newCorpus(seed uint64) *corpus {
	c := &corpus{Rand: rand.New(rand.NewPCG(seed, 7))}
	for i := range c.epoch {
		c.epoch[i] = byte(c.Uint32())
	}
	county := c.pick("cs", "ys")
	c.station = county + "-" + c.pick("baishi", "qiuchuan", "huibu", "zhaoxian", "longrao", "xianyan", "daqiao", "tongren") + "-" +
		c.pick("caoping", "shuangming", "xiawan", "shangtang", "dongkeng", "lianhe", "zhongcun", "huangni", "banqiao", "shimen")
	c.boot = c.Uint32()
	c.started = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(c.Int64N(int64(8000 * time.Hour))))
	c.at, c.seq = c.started.Add(time.Duration(c.Int64N(int64(400*time.Hour)))), uint64(c.IntN(200_000)+1)
	for range 6 + c.IntN(14) {
		c.zones = append(c.zones, c.pick("front", "rear", "office", "store", "east", "west", "granary", "clinic", "school", "gate", "hall", "yard", "pump", "shop")+"-"+
			c.pick("door", "door", "pir", "window", "panic", "glass", "smoke", "tamper", "roller"))
	}
	for range 3 + c.IntN(8) {
		c.cameras = append(c.cameras, c.pick("gate", "road", "square", "bridge", "school", "market", "crossing", "river", "north", "south")+"-"+c.pick("1", "2", "3", "east", "west"))
	}
	for range 4 {
		c.people = append(c.people, c.pick("wang", "li", "zhang", "chen", "xu", "zheng", "ye", "fan", "jiang", "mao")+c.pick("", "", "wei", "jun", "hong", "ming", "fang"))
	}
	c.account = fmt.Sprint(1000 + c.IntN(9000))
	c.version = fmt.Sprintf("v0.%d.%d", c.IntN(9), c.IntN(20))
	return c
}

func (c *corpus) pick(words ...string) string { return words[c.IntN(len(words))] }

func (c *corpus) id() string { return hex.EncodeToString(c.bytes(16)) }

func (c *corpus) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(c.Uint32())
	}
	return b
}

// events is a run of n events of one lane; the mix is that of a day.
func (c *corpus) events(lane event.Lane, n int, makes ...func(*corpus) event.Draft) []event.Event {
	var list []event.Event
	for range n {
		c.at = c.at.Add(time.Duration(c.ExpFloat64() * float64(40*time.Second)))
		c.seq += uint64(1 + c.IntN(3))
		d := makes[c.IntN(len(makes))](c)
		d.At, d.BootID, d.ClockQuality = c.at, c.boot, event.ClockSynced
		if d.KernelNS == 0 {
			d.KernelNS = int64(c.at.Sub(c.started)) - c.Int64N(int64(20*time.Millisecond))
		}
		e := d.Event(c.station, c.epoch, c.seq)
		e.Lane = lane
		list = append(list, e)
	}
	return list
}

// everyday are the kinds that a line carries most, by name.
func everyday() map[string]func(*corpus) event.Draft {
	return map[string]func(*corpus) event.Draft{
		"zone": (*corpus).zone, "panel": (*corpus).panel, "camera": (*corpus).camera, "viewing": (*corpus).viewing,
		"viewing end": (*corpus).viewingEnd, "read": (*corpus).read,
	}
}

func (c *corpus) zone() event.Draft {
	zone := c.pick(c.zones...)
	states := []string{"normal", "active", "normal", "active", "missing", "short", "open", "unknown", "fault", "masked", "bypassed"}
	i := c.IntN(len(states))
	d := event.Draft{
		Kind: event.KindZoneChanged, Qualifier: event.QualifierNew, Severity: event.SeverityAlarm, Zone: zone, Source: "line/" + zone,
	}
	fields := []event.Field{event.Text(event.TagState, states[i]), event.Text(event.TagPrevious, states[(i+1)%len(states)]), event.Text(event.TagLine, fmt.Sprintf("in%d", 1+c.IntN(16)))}
	switch states[i] {
	case "normal":
		d.Qualifier, d.Severity = event.QualifierRestore, event.SeverityNotice
	case "active":
		fields = append(fields, event.Text(event.TagCode, c.pick("130", "131", "120", "137", "110")))
	default:
		d.Severity = event.SeverityWarning
		fields = append(fields, event.Text(event.TagReason, c.pick("wire", "wire", "chatter")),
			event.Text(event.TagDetail, c.pick("I/O box does not answer: check its plug and power", "contact chatters: told again when it keeps still", "edges were lost")), event.Uint(event.TagLost, uint64(c.IntN(9))))
	}
	d.Body = event.NewBody(fields...)
	return d
}

func (c *corpus) panel() event.Draft {
	i := c.IntN(6)
	zone := 1 + c.IntN(24)
	text := c.pick("大门", "后门", "一楼走廊", "二楼走廊", "仓库东侧", "仓库西侧", "财务室", "村委会办公室", "卫生室", "小卖部", "泵房", "祠堂") + c.pick("门磁", "红外", "玻璃破碎", "紧急按钮", "烟感", "防拆", "卷帘门")
	d := event.Draft{
		Kind: event.KindPanelEvent, Qualifier: event.QualifierNew, Severity: event.SeverityAlarm, Source: "dc09/" + c.account,
		Zone: fmt.Sprintf("%s/%d", c.account, zone),
	}
	code := []string{"BA", "BH", "PA", "FA", "OP", "CL"}[i]
	detail := []string{"burglary alarm", "burglary restored", "panic alarm", "fire alarm", "disarmed", "armed"}[i]
	if i == 1 || i > 3 {
		d.Severity, d.Qualifier = event.SeverityNotice, event.QualifierRestore
	}
	d.Body = event.NewBody(event.Text(event.TagFormat, "sia"), event.Text(event.TagCode, code), event.Text(event.TagDetail, fmt.Sprintf("%s, zone %d", detail, zone)),
		event.Text(event.TagAccount, c.account), event.Text(event.TagArea, c.pick("1", "2")), event.Text(event.TagText, text),
		event.Text(event.TagPanelSeq, fmt.Sprintf("%04d", 1+c.IntN(9999))), event.Text(event.TagReceiver, c.pick("", "1")), event.Text(event.TagLine, c.pick("0", "1")),
		event.Uint(event.TagEncrypted, 1), event.Int(event.TagPanelTime, c.at.Truncate(time.Second).UnixNano()))
	return d
}

func (c *corpus) camera() event.Draft {
	id := c.pick(c.cameras...)
	d := event.Draft{Kind: event.KindCameraState, Qualifier: event.QualifierRestore, Severity: event.SeverityNotice, Source: "camera/" + id}
	fields := []event.Field{event.Text(event.TagState, "up"), event.Text(event.TagCamera, id), event.Text(event.TagProfile, c.pick("main", "sub")), event.Text(event.TagPrevious, c.pick("idle", "down", "unknown"))}
	if c.IntN(2) == 0 {
		d.Qualifier, d.Severity = event.QualifierNew, event.SeverityWarning
		why := c.IntN(4)
		fields[0] = event.Text(event.TagState, []string{"down", "down", "down", "degraded"}[why])
		fields = append(fields, event.Text(event.TagReason, []string{"unreachable", "password", "broken", "flapping"}[why]), event.Text(event.TagDetail, []string{
			"dial tcp 192.168.1." + fmt.Sprint(c.IntN(255)) + ":554: connect: no route to host: check its plug, power and network",
			"the camera refuses user and password: check them",
			"read tcp 192.168.1." + fmt.Sprint(c.IntN(255)) + ":554: i/o timeout",
			"camera comes and goes: check its plug, power and network; it is told again when it keeps still",
		}[why]))
	} else {
		fields = append(fields, event.Uint(event.TagWidth, 1920), event.Uint(event.TagHeight, 1080), event.Text(event.TagDetail, "H.264 "+c.pick("Main", "High", "Baseline")+" 1920×1080"),
			event.Uint(event.TagCount, c.Uint64N(40)), event.Uint(event.TagDuration, c.Uint64N(1e13)))
	}
	d.Body = event.NewBody(fields...)
	return d
}

func (c *corpus) viewing() event.Draft {
	return event.Draft{
		Kind: event.KindViewingOpened, Qualifier: event.QualifierNew, Severity: event.SeverityNotice, Source: "station",
		Body: event.NewBody(event.Text(event.TagViewing, c.id()), event.Text(event.TagCommand, c.id()), event.Text(event.TagCamera, c.pick(c.cameras...)),
			event.Text(event.TagProfile, c.pick("main", "sub")), event.Text(event.TagWho, c.pick(c.people...)), event.Text(event.TagRole, c.pick("dispatcher", "officer", "supervisor")),
			event.Text(event.TagPurpose, c.pick("警情核实", "核查报警", "寻找走失老人", "跨省追逃协查", "巡查", "交通事故"))),
	}
}

func (c *corpus) viewingEnd() event.Draft {
	return event.Draft{
		Kind: event.KindViewingClosed, Qualifier: event.QualifierRestore, Severity: event.SeverityNotice, Source: "station",
		Body: event.NewBody(event.Text(event.TagViewing, c.id()), event.Text(event.TagCamera, c.pick(c.cameras...)), event.Text(event.TagWho, c.pick(c.people...)),
			event.Text(event.TagReason, c.pick("command", "viewer_gone", "time_over", "camera_gone", "station_stopping")), event.Text(event.TagDetail, "by "+c.pick(c.people...)+": "+c.pick("done", "看完")),
			event.Uint(event.TagDuration, uint64(c.Int64N(int64(10*time.Minute)))), event.Uint(event.TagPackets, uint64(c.IntN(90_000))), event.Uint(event.TagBytes, uint64(c.IntN(90_000_000)))),
	}
}

func (c *corpus) read() event.Draft {
	id := c.pick(c.cameras...)
	plate := c.pick("浙H", "浙H", "赣E", "赣E", "浙A", "皖P") + "·" + fmt.Sprintf("%c%c%03d", 'A'+rune(c.IntN(26)), 'A'+rune(c.IntN(26)), c.IntN(1000))
	return event.Draft{
		Kind: kindRead, Qualifier: event.QualifierStatus, Severity: event.SeverityNotice, Source: "camera/" + id,
		Body: event.NewBody(event.Text(event.TagCamera, id), event.Text(event.TagText, plate), event.Uint(event.TagCount, uint64(700+c.IntN(300))),
			event.Text(event.TagLine, c.pick("1", "2")), event.Text(event.TagDetail, c.pick("blue", "blue", "yellow", "green")), event.Bytes(event.TagBytes, c.bytes(32))),
	}
}

// rare are the kinds that a line carries now and then: the dictionary should know their words.
func rare() []func(*corpus) event.Draft {
	status := func(k event.Kind, s event.Severity, source string, fields ...event.Field) event.Draft {
		return event.Draft{Kind: k, Qualifier: event.QualifierStatus, Severity: s, Source: source, Body: event.NewBody(fields...)}
	}
	return []func(*corpus) event.Draft{
		func(c *corpus) event.Draft {
			return status(event.KindLogOpened, event.SeverityWarning, "station", event.Text(event.TagReason, c.pick("new", "set_aside")), event.Bytes(event.TagPrevEpoch, c.bytes(8)),
				event.Uint(event.TagLastAlarm, c.Uint64N(1e5)), event.Uint(event.TagLastMain, c.Uint64N(1e5)), event.Uint(event.TagLastRead, c.Uint64N(1e5)), event.Uint(event.TagLastTrace, c.Uint64N(1e5)))
		},
		func(c *corpus) event.Draft {
			return status(event.KindLogEvicted, event.SeverityWarning, "station", event.Text(event.TagReason, c.pick("room", "damaged")), event.Uint(event.TagLane, 1+c.Uint64N(4)),
				event.Uint(event.TagFrom, c.seq-c.Uint64N(c.seq)), event.Uint(event.TagUpto, c.seq), event.Uint(event.TagCount, c.Uint64N(9000)))
		},
		func(c *corpus) event.Draft {
			return status(event.KindLogRefused, event.SeverityWarning, "station", event.Text(event.TagReason, "full"), event.Uint(event.TagCount, c.Uint64N(900)), event.Uint(event.TagFrom, uint64(c.at.UnixNano())))
		},
		func(c *corpus) event.Draft {
			return status(event.KindStationStarted, event.SeverityNotice, "station", event.Text(event.TagVersion, c.version))
		},
		func(c *corpus) event.Draft {
			return status(event.KindStationStopped, event.SeverityNotice, "station", event.Text(event.TagVersion, c.version))
		},
		func(c *corpus) event.Draft {
			return status(event.KindPanelLink, event.SeverityWarning, "dc09/"+c.account, event.Text(event.TagAccount, c.account), event.Text(event.TagState, c.pick("up", "lost")),
				event.Text(event.TagPrevious, c.pick("up", "lost", "unknown")), event.Text(event.TagReason, "silent"), event.Uint(event.TagDuration, c.Uint64N(1e13)))
		},
		func(c *corpus) event.Draft {
			return status(event.KindPanelRefused, event.SeverityWarning, "dc09/unknown", event.Text(event.TagAccount, c.account), event.Text(event.TagReason, c.pick("unknown_account", "plain", "stale", "crc")),
				event.Text(event.TagRemote, fmt.Sprintf("192.168.1.%d:%d", c.IntN(255), 1024+c.IntN(60000))), event.Uint(event.TagCount, c.Uint64N(50)))
		},
		func(c *corpus) event.Draft {
			return status(event.KindViewingRefused, event.SeverityWarning, "station", event.Text(event.TagCommand, c.id()), event.Text(event.TagViewing, c.id()), event.Text(event.TagCamera, c.pick(c.cameras...)),
				event.Text(event.TagWho, c.pick(c.people...)), event.Text(event.TagRole, c.pick("dispatcher", "officer")), event.Text(event.TagPurpose, "警情核实"), event.Text(event.TagReason, "denied"),
				event.Text(event.TagDetail, c.pick("this role may not view this camera", "no purpose was given")))
		},
		func(c *corpus) event.Draft {
			return status(event.KindCommandRefused, event.SeverityWarning, "centre/"+c.pick("changshan", "yushan"), event.Text(event.TagCentre, c.pick("changshan", "yushan")), event.Text(event.TagCommand, c.id()),
				event.Text(event.TagAction, c.pick("viewing.open", "viewing.close", "receipt")), event.Text(event.TagReason, c.pick("expired", "signature", "repeated", "unknown_kind")), event.Uint(event.TagCount, c.Uint64N(20)))
		},
		func(c *corpus) event.Draft {
			centre := c.pick("changshan", "yushan")
			return status(event.KindCentreLink, event.SeverityWarning, "centre/"+centre, event.Text(event.TagCentre, centre), event.Text(event.TagReason, c.pick("lost", "silent", "refused", "unreachable", "not_authorised")),
				event.Text(event.TagDetail, c.pick("connection lost: EOF", "connecting: dial tcp: i/o timeout", "no acknowledgement within 30s")), event.Uint(event.TagDuration, c.Uint64N(1e13)))
		},
		func(c *corpus) event.Draft {
			centre := c.pick("changshan", "yushan")
			return status(event.KindCentreFilter, event.SeverityNotice, "centre/"+centre, event.Text(event.TagCentre, centre), event.Text(event.TagText, c.pick("alarm main read trace", "alarm main", "alarm")))
		},
		func(c *corpus) event.Draft {
			centre := c.pick("changshan", "yushan")
			return status(event.KindCentreStalled, event.SeverityWarning, "centre/"+centre, event.Text(event.TagCentre, centre), event.Uint(event.TagLane, 1+c.Uint64N(4)), event.Uint(event.TagFrom, c.seq), event.Uint(event.TagUpto, c.seq+c.Uint64N(999)),
				event.Uint(event.TagCount, 1), event.Text(event.TagDetail, "the broker took events but the centre's receipt does not come: check the broker's permissions for this station, its queue limits and the centre's store"))
		},
		func(c *corpus) event.Draft {
			return status(event.KindTestFailed, event.SeverityWarning, "station", event.Text(event.TagStage, c.pick("line", "uplink", "screen")), event.Text(event.TagStation, c.station), event.Text(event.TagZone, c.pick(c.zones...)))
		},
		func(c *corpus) event.Draft {
			return status(event.KindStationSilent, event.SeverityAlarm, "centre/changshan", event.Text(event.TagStation, c.station), event.Uint(event.TagDuration, c.Uint64N(1e13)), event.Uint(event.TagCount, 1))
		},
		func(c *corpus) event.Draft {
			return status(event.KindCarrierSilent, event.SeverityAlarm, "centre/changshan", event.Text(event.TagCarrier, c.pick("中国移动", "中国电信", "中国联通")), event.Text(event.TagStation, c.station), event.Uint(event.TagCount, 12))
		},
	}
}
