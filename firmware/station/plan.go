package station

import (
	"slices"

	"watchpost/firmware/arming"
	"watchpost/firmware/config"
)

// planOf is what the configuration says of partitions, in arming's words. Zones without a partition are not in it.
func planOf(c *config.Config) arming.Plan {
	var plan arming.Plan
	for _, p := range c.Partitions {
		plan.Partitions = append(plan.Partitions, arming.Partition{
			ID: p.ID, Exit: p.Exit, Entry: p.Entry, Settle: p.Settle, Siren: p.Siren,
			Outputs: p.Outputs, SilentKinds: words[arming.Kind](p.Silent),
			Needed: p.Confirm.Zones, Within: p.Confirm.Within,
			ArmAt: p.ArmAt, DisarmAt: p.DisarmAt, ArmMode: arming.Mode(p.Mode), LateAfter: p.LateAfter,
		})
	}
	for _, z := range c.Zones {
		if z.Partition == "" {
			continue
		}
		plan.Zones = append(plan.Zones, arming.Zone{
			ID: z.ID, Partition: z.Partition, Kind: arming.Kind(z.Kind), Code: config.ZoneKinds()[z.Kind],
			Modes: words[arming.Mode](z.Modes), Entry: z.Entry, Follow: z.Follow, Swinger: z.Swinger, Confirm: z.Confirm,
		})
	}
	for _, u := range c.Users {
		may := func(right string) bool { return slices.Contains(u.Rights, right) }
		plan.Users = append(plan.Users, arming.User{
			ID: u.ID, Partitions: u.Partitions, Arm: may("arm"), Disarm: may("disarm"), Bypass: may("bypass"), Engineer: may("engineer"),
		})
	}
	return plan
}

// words are the configuration's words in another room's type; nil stays nil.
func words[T ~string](list []string) []T {
	var typed []T
	for _, w := range list {
		typed = append(typed, T(w))
	}
	return typed
}
