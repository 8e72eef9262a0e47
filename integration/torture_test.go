package integration_test

import (
	"crypto/rand"
	"errors"
	"flag"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sdsaws/sdsaws/internal/ordeal"
	"github.com/sdsaws/sdsaws/internal/torture"
)

// TestTorture plays some of package torture's runs. -rapid.seed and -rapid.checks play others.
func TestTorture(t *testing.T) {
	const runs = 10
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for name, value := range map[string]string{"rapid.checks": strconv.Itoa(runs), "rapid.seed": "1", "rapid.steps": "20"} {
		if given[name] {
			continue
		}
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	b := resources(t, nil).backend()
	counts := &torture.Counts{}
	rapid.Check(t, func(r *rapid.T) {
		err := torture.Play(r, torture.Options{Counts: counts, Open: func(func() time.Time) (ordeal.Site, string, error) {
			return ordeal.NewSite(b, nil), rand.Text(), nil
		}})
		var v *torture.Violation
		if errors.As(err, &v) {
			for _, s := range v.Trail {
				r.Log(s)
			}
			r.Log(v.Detail)
			r.Fatal(v.What)
		}
		if err != nil {
			r.Fatal(err)
		}
	})
	t.Log(counts)
}
