package config

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"
)

// longestSiren is how long a partition may sound for one alarm.
const longestSiren = 15 * time.Minute

// Modes are how a partition may be armed: nobody is in, people are awake, people are asleep.
func Modes() []string { return []string{"away", "stay", "night"} }

// Partition is zones that are armed together.
type Partition struct {
	ID        string        `yaml:"id"`
	Name      string        `yaml:"name"`
	Exit      time.Duration `yaml:"exit"`    // 0 (none) to 255 s, default 60 s
	Entry     time.Duration `yaml:"entry"`   // 0 (none) to 4 min, default 30 s
	Settle    time.Duration `yaml:"settle"`  // after a power-up detectors are not believed this long; 0 to 10 min, default 60 s
	Outputs   []string      `yaml:"outputs"` // driven for an alarm
	Siren     time.Duration `yaml:"siren"`   // how long they are, 10 s to 15 min, default 3 min
	Silent    []string      `yaml:"silent"`  // kinds of zones whose alarms drive no output
	Confirm   Confirm       `yaml:"confirm"`
	ArmAt     string        `yaml:"arm_at"`     // HH:MM local time, "" = never
	DisarmAt  string        `yaml:"disarm_at"`  // HH:MM local time, "" = never
	Mode      string        `yaml:"mode"`       // that arm_at arms in: away, stay or night (default)
	LateAfter time.Duration `yaml:"late_after"` // after arm_at, 1 min to 12 h, default 15 min
}

// Confirm is how many zones of one confirm group, active within how long, are an alarm.
type Confirm struct {
	Zones  int           `yaml:"zones"`  // 2 (default) to 8
	Within time.Duration `yaml:"within"` // 10 s to 1 h, default 5 min
}

// User is somebody who may arm, known by a code, by an iButton or another card, or both.
type User struct {
	ID         string   `yaml:"id"`
	Name       string   `yaml:"name"`
	Code       Code     `yaml:"code"`
	Duress     Code     `yaml:"duress"` // disarms as code does, and calls for help without a sign of it
	Cards      []Card   `yaml:"cards"`
	Partitions []string `yaml:"partitions"` // empty = all
	Rights     []string `yaml:"rights"`     // of arm, disarm, bypass, engineer; default arm and disarm
}

func (c *Config) fillArming(s *sheet) {
	for i := range c.Partitions {
		p := &c.Partitions[i]
		for _, d := range []struct {
			name  string
			value *time.Duration
			whole time.Duration
		}{{"exit", &p.Exit, time.Minute}, {"entry", &p.Entry, 30 * time.Second}, {"settle", &p.Settle, time.Minute}} {
			if !s.given(fmt.Sprintf("partitions[%d].%s", i, d.name)) { // 0 is a value
				*d.value = d.whole
			}
		}
		p.Siren, p.LateAfter = cmp.Or(p.Siren, 3*time.Minute), cmp.Or(p.LateAfter, 15*time.Minute)
		p.Confirm = Confirm{cmp.Or(p.Confirm.Zones, 2), cmp.Or(p.Confirm.Within, 5*time.Minute)}
		p.Mode = cmp.Or(p.Mode, "night")
	}
	for i := range c.Users {
		if c.Users[i].Rights == nil {
			c.Users[i].Rights = []string{"arm", "disarm"}
		}
	}
}

func (c *Config) validatePartitions(s *sheet, outputs []string) []string {
	ids, seen, maxOn := []string{}, map[string]bool{}, map[string]time.Duration{}
	for _, o := range c.Outputs {
		maxOn[o.ID] = o.MaxOn
	}
	kinds := slices.DeleteFunc(slices.Sorted(maps.Keys(ZoneKinds())), func(k string) bool { return k == KindTest })
	for i, p := range c.Partitions {
		key := fmt.Sprintf("partitions[%d]", i)
		s.id(key+".id", p.ID, seen)
		ids = append(ids, p.ID)
		s.between(key+".exit", p.Exit, 0, 255*time.Second)
		s.between(key+".entry", p.Entry, 0, 4*time.Minute)
		s.between(key+".settle", p.Settle, 0, 10*time.Minute)
		s.between(key+".siren", p.Siren, 10*time.Second, longestSiren)
		s.between(key+".late_after", p.LateAfter, time.Minute, 12*time.Hour)
		s.between(key+".confirm.within", p.Confirm.Within, 10*time.Second, time.Hour)
		s.within(key+".confirm.zones", p.Confirm.Zones, 2, 8)
		short := slices.IndexFunc(p.Outputs, func(o string) bool { return maxOn[o] > 0 && maxOn[o] < p.Siren })
		if short >= 0 && p.Siren <= longestSiren {
			s.add(key+".siren", "max_on of output %s ends it after %s: make this shorter, or that longer", p.Outputs[short], maxOn[p.Outputs[short]])
		}
		for j, o := range p.Outputs {
			s.known(fmt.Sprintf("%s.outputs[%d]", key, j), o, "output", outputs)
		}
		for j, k := range p.Silent {
			s.word(fmt.Sprintf("%s.silent[%d]", key, j), k, kinds...)
		}
		s.word(key+".mode", p.Mode, Modes()...)
		s.clock(key+".arm_at", p.ArmAt)
		s.clock(key+".disarm_at", p.DisarmAt)
		if p.ArmAt != "" && p.ArmAt == p.DisarmAt {
			s.add(key+".disarm_at", "%s is also arm_at: the partition would be armed for no time", p.DisarmAt)
		}
	}
	return ids
}

// clock complains if v is given and no time of day.
func (s *sheet) clock(key, v string) {
	if v != "" && !regexp.MustCompile(`^([01]\d|2[0-3]):[0-5]\d$`).MatchString(v) {
		s.add(key, "%q: want HH:MM, in quotes, such as \"04:00\"", v)
	}
}

// validateGroups complains of confirm groups that can never be confirmed. The zones and partitions must be valid.
func (c *Config) validateGroups(s *sheet) {
	for _, p := range c.Partitions {
		size, first := map[string]int{}, map[string]int{}
		for i, z := range slices.Backward(c.Zones) {
			if z.Partition == p.ID && z.Confirm != "" {
				size[z.Confirm]++
				first[z.Confirm] = i
			}
		}
		for group, n := range size {
			if n < p.Confirm.Zones {
				s.add(fmt.Sprintf("zones[%d].confirm", first[group]), "group %q has %d zones in partition %s, which wants %d of them active: it could never raise an alarm",
					group, n, p.ID, p.Confirm.Zones)
			}
		}
	}
}

func (c *Config) validateUsers(s *sheet, partitions []string) {
	seen, secrets := map[string]bool{}, map[string]string{}
	for i, u := range c.Users {
		key := fmt.Sprintf("users[%d]", i)
		s.id(key+".id", u.ID, seen)
		if u.Code.IsZero() && len(u.Cards) == 0 {
			s.add(key, "user %s has neither code nor cards: give one, stationctl code makes the line", u.ID)
		}
		if u.Code.IsZero() && !u.Duress.IsZero() {
			s.add(key+".duress", "a duress code is given in place of a code: give that, too")
		}
		claim := func(key, secret, remedy string) {
			if who := secrets[secret]; who != "" {
				s.add(key, "the same as that of user %s: %s", who, remedy)
			}
			secrets[secret] = u.ID
		}
		if !u.Code.IsZero() {
			claim(key+".code", u.Code.String(), "each needs a code of its own")
		}
		if !u.Duress.IsZero() {
			claim(key+".duress", u.Duress.String(), "a duress code is another one")
		}
		for j, card := range u.Cards {
			claim(fmt.Sprintf("%s.cards[%d]", key, j), card.String(), "one card is one person")
		}
		for j, id := range u.Partitions {
			s.known(fmt.Sprintf("%s.partitions[%d]", key, j), id, "partition", partitions)
		}
		if len(u.Rights) == 0 {
			s.add(key+".rights", "empty: leave it out for arm and disarm, or name what the user may")
		}
		for j, r := range u.Rights {
			s.word(fmt.Sprintf("%s.rights[%d]", key, j), r, "arm", "disarm", "bypass", "engineer")
		}
	}
	if len(c.Users) > 0 && len(partitions) == 0 {
		s.add("users", "there is no partition that they could arm: add partitions, or leave users out")
	}
}
