package station

import (
	"context"
	"maps"
	"slices"
	"strings"

	"watchpost/storage/event"
)

// tellFilters keeps an event of each centre that is sent other lanes than it was in the run before: who was told what from
// when on is part of the record. An event that is not stored is tried at the next start.
func (s *Station) tellFilters(ctx context.Context) {
	if s.memo.path == "" {
		return // nobody knows what the run before sent
	}
	was := s.memo.read().Filters
	now := map[string][]string{}
	for _, c := range s.config.Centres {
		now[c.ID] = c.Lanes
	}
	told := maps.Clone(was)
	if told == nil {
		told = map[string][]string{}
	}
	for _, id := range slices.Sorted(maps.Keys(now)) {
		before, known := was[id]
		if known && slices.Equal(sorted(before), sorted(now[id])) {
			continue
		}
		q := event.QualifierStatus
		if !known {
			q = event.QualifierNew
		}
		if s.tellFilter(ctx, q, id, now[id]) {
			told[id] = now[id]
		}
	}
	for _, id := range slices.Sorted(maps.Keys(was)) {
		if _, still := now[id]; !still && s.tellFilter(ctx, event.QualifierRestore, id, nil) {
			delete(told, id)
		}
	}
	if maps.EqualFunc(told, was, slices.Equal) {
		return
	}
	if err := s.memo.change(func(m *memory) { m.Filters = told }); err != nil {
		s.log.Warn("what the centres are sent is told again at the next start", "err", err)
	}
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

// tellFilter reports whether the event is stored.
func (s *Station) tellFilter(ctx context.Context, q event.Qualifier, centre string, lanes []string) bool {
	text := strings.Join(lanes, " ")
	if q == event.QualifierRestore {
		text = "none: the centre is not in the configuration any more"
	}
	err := s.in.store(ctx, event.Draft{
		Kind: event.KindCentreFilter, Qualifier: q, Source: "centre/" + centre, Severity: event.SeverityNotice,
		Body: event.NewBody(event.Text(event.TagCentre, centre), event.Text(event.TagText, text)),
	})
	if err != nil {
		s.log.Warn("what a centre is sent is not kept as an event", "centre", centre, "err", err)
	}
	return err == nil
}
