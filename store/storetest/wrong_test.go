package storetest

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws/store"
)

// wrong are backends that break one promise each, and the test that has to notice.
var wrong = map[string]struct {
	test    string
	backend backend
}{
	"ignores the condition":           {"Log/StalePrev", &ignoresCondition{limited()}},
	"checks before it locks":          {"Log/OneWins", &checksFirst{Memory: limited()}},
	"writes messages in a conflict":   {"Log/WrongPrev", &tornCommit{limited()}},
	"conflicts without a head":        {"Log/WrongPrev", &bareConflict{limited()}},
	"conflicts with an old head":      {"Log/StalePrev", &oldConflict{Memory: limited()}},
	"does a commit again":             {"Log/CommitAgainAfterAnother", &repeats{Memory: limited()}},
	"loses a message":                 {"Log/FirstCommit", &losesMessage{limited()}},
	"keeps the caller's slice":        {"Log/CallerChangesWhatItPassed", &keepsSlice{limited()}},
	"returns its own slice":           {"Log/OwnerChangesWhatItGot", &sharesSlice{limited()}},
	"sorts what it is passed":         {"Log/ArgumentsStay", &sortsArgument{limited()}},
	"forgets the epoch":               {"Log/Claim", &forgetsEpoch{limited()}},
	"claims what is not there":        {"Log/ClaimWithoutHead", &claimsNothing{limited()}},
	"claims again and again":          {"Log/ClaimConflict", &ignoresCondition{limited()}},
	"loads staged messages":           {"Log/LoadStaged", &loadsStaged{limited()}},
	"loads below the start":           {"Log/LoadFrom", &loadsBelow{limited()}},
	"loads one page":                  {"Log/LoadPages", &loadsPage{limited()}},
	"loads in the order of text":      {"Log/LoadAscending", &textOrder{limited()}},
	"returns 100 messages":            {"Log/MessagesMany", &returns100{limited()}},
	"returns messages twice":          {"Log/Messages", &returnsTwice{limited()}},
	"deletes one more":                {"Log/Delete", &deletesMore{limited()}},
	"deletes 100":                     {"Log/DeleteMany", &deletes100{limited()}},
	"joins keys":                      {"Log/CollidingKeys", &mapsKeys{limited(), joined}},
	"hashes long channels":            {"Log/HostileChannels", &mapsKeys{limited(), hashed}},
	"cuts long channels":              {"Log/HostileChannels", &mapsKeys{limited(), cut}},
	"takes channels for text":         {"Log/HostileChannels", &mapsKeys{limited(), text}},
	"doesn't look at the context":     {"Log/Cancelled", &deaf{limited()}},
	"takes more than its limits":      {"Log/LimitHead", &takesMore{limited()}},
	"refuses what is at its limits":   {"Log/LimitCommit", &refusesLimit{limited()}},
	"writes, then says too large":     {"Log/LimitMessage", &writesTooLarge{limited()}},
	"forgets what is staged":          {"Log/StageOverStaged", &forgetsStaged{limited()}},
	"has hints forever":               {"Hints/Expiry", &forever{limited()}},
	"never replaces hints":            {"Hints/SetGetReplaceDelete", &neverReplaces{limited()}},
	"has one namespace for hints":     {"Hints/Namespaces", &oneNamespace{limited()}},
	"sets 25 hints":                   {"Hints/Many", &sets25{limited()}},
	"doesn't delete hints":            {"Hints/SetGetReplaceDelete", &keepsHints{limited()}},
	"has no empty hints":              {"Hints/Values", &noEmptyHints{limited()}},
	"doesn't look at hints' contexts": {"Hints/Cancelled", &deaf{limited()}},
}

type backend interface {
	store.Log
	store.Hints
	base() *Memory
}

const wrongVariable = "SDSAWS_STORETEST_WRONG"

// TestSuiteNotices starts itself for every wrong backend, as a process of its own: there
// the suite has to fail.
func TestSuiteNotices(t *testing.T) {
	if name, ok := os.LookupEnv(wrongVariable); ok {
		runSuite(t, wrong[name].backend)
		return
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range wrong {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test := "TestSuiteNotices/" + w.test
			pattern := "^" + strings.ReplaceAll(test, "/", "$/^") + "$"
			c := exec.CommandContext(t.Context(), exe, "-test.run="+pattern, "-test.timeout=1m")
			c.Env = append(os.Environ(), wrongVariable+"="+name)
			out, err := c.CombinedOutput()
			if err == nil || !bytes.Contains(out, []byte("--- FAIL: "+test+" ")) {
				t.Errorf("%s passes with a backend that %s: %v\n%s", w.test, name, err, out)
			}
			if bytes.Contains(out, []byte("panic:")) || bytes.Contains(out, []byte("DATA RACE")) {
				t.Errorf("it wasn't the test that noticed:\n%s", out)
			}
		})
	}
}

func runSuite(t *testing.T, b backend) {
	TestLog(t, func(*testing.T) store.Log { return b })
	clock := NewClock()
	b.base().Now = clock.Now
	TestHints(t, func(*testing.T) store.Hints { return b }, clock)
}
