package regions_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/sdsaws/sdsaws"
)

// amount returns a number from the environment.
func amount(t *testing.T, name string, usual int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return usual
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		t.Fatalf("%s=%s is not a number from 0 up", name, s)
	}
	return n
}

// rounds runs a test for each seed. SDSAWS_REGIONS_RUNS says how many, SDSAWS_REGIONS_SEED
// which is the first; with the race detector, which makes them some ten times slower, fewer
// are usual.
func rounds(t *testing.T, round func(p *play)) {
	t.Helper()
	c := &counts{}
	usual := 200
	if raceDetector {
		usual = 20
	}
	first := amount(t, "SDSAWS_REGIONS_SEED", 1)
	runs := amount(t, "SDSAWS_REGIONS_RUNS", usual)
	for seed := first; seed < first+runs && !t.Failed(); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("again: SDSAWS_REGIONS_SEED=%d SDSAWS_REGIONS_RUNS=1 go test -run '%s' ./internal/regions", seed, t.Name())
				}
			}()
			round(newPlay(t, rand.New(rand.NewPCG(uint64(seed), 0)), c)) //nolint:gosec // a test's
		})
		c.runs++
	}
	t.Logf("%d runs, %d loads, %d commits, %d takeovers, %d drops, %d sweeps; %d incomplete, %d forked, %d elsewhere, %d fenced; %d violations",
		c.runs, c.loads, c.commits, c.takeovers, c.drops, c.sweeps, c.incomplete, c.forked, c.elsewhere, c.fenced, c.violations)
}

// TestTwoRegionsAtOnce: participants in two regions commit, load, take over, drop, archive and
// sweep while items arrive late and in any order, and nobody stops anybody. A load gives exactly what
// the head in its region was committed with, or says why it can't.
func TestTwoRegionsAtOnce(t *testing.T) {
	rounds(t, func(p *play) {
		var holders []*holder
		group := []int{1, 4, 16}[p.random.IntN(3)]
		for i := range 4 {
			holders = append(holders, p.open(p.world.Region(i%2), p.random.IntN(2) == 0, group))
		}
		lag := 1 + p.random.IntN(8)
		for range 40 {
			i := p.random.IntN(len(holders))
			h := holders[i]
			if !p.act(h) {
				holders[i] = p.open(h.region, p.random.IntN(2) == 0, group)
			}
			if p.random.IntN(lag) == 0 {
				p.arrive(h.region, p.random.IntN(6))
			}
			if p.random.IntN(25) == 0 {
				p.world.Settle()
			}
		}
		p.world.Settle()
		for i := range 2 {
			h := p.open(p.world.Region(i), true, group)
			_, _ = p.load(h)
			_ = p.commit(h)
			p.world.Settle()
		}
	})
}

// act lets a holder do something at random. It reports whether it can go on: one that has
// failed keeps what it has accepted, and would commit that with what comes next.
func (p *play) act(h *holder) bool {
	held := h.last
	switch p.random.IntN(16) {
	default:
		return p.commit(h) == nil
	case 0, 1, 2, 3:
		_, home := p.head(h.region)
		_, err := p.load(h)
		if err == nil && home != nil && home.Region != h.region.Name {
			p.counts.takeovers++
		}
	case 4:
		err := p.do(h, nothing, func() error { return h.DropChannel(p.t.Context(), channel) })
		p.judge(h, "drop", held, err)
		p.counts.drops++
		return err == nil
	case 5:
		err := p.do(h, same, func() error { _, err := h.Archive(p.t.Context(), channel); return err })
		p.judge(h, "archive", held, err)
		return err == nil
	case 6:
		err := p.do(h, same, func() error { _, err := h.Sweep(p.t.Context(), channel, nil); return err })
		p.judge(h, "sweep", held, err)
		p.counts.sweeps++
	case 7:
		err := p.do(h, same, func() error {
			_, err := h.Check(p.t.Context(), channel, &sdsaws.CheckOptions{Repair: true})
			return err
		})
		p.judge(h, "repair", held, err)
	}
	return true
}
