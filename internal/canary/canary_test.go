package canary_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"strings"
	"testing"

	"github.com/sdsaws/sdsaws/internal/canary"
)

type silent struct{ Secret []byte }

func (silent) Error() string { return "says nothing" }

// TestACanaryIsFound in each form, and nowhere else.
func TestACanaryIsFound(t *testing.T) {
	b := canary.New("Test")
	raw := []byte(b.Raw())
	for name, text := range map[string]string{
		"raw": b.Raw(), "quoted": fmt.Sprintf("%q", raw), "hex": hex.EncodeToString(raw), "upper hex": fmt.Sprintf("%X", raw),
		"%v": fmt.Sprintf("%v", raw), "%#v": fmt.Sprintf("%#v", raw), "% x": fmt.Sprintf("% x", raw), "runes": fmt.Sprintf("%q", []rune(string(raw))),
		"base64": base64.StdEncoding.EncodeToString(raw), "base64, 1": base64.StdEncoding.EncodeToString(raw[1:]),
		"base64, url": base64.URLEncoding.EncodeToString(raw[2:]), "base64, raw": base64.RawStdEncoding.EncodeToString(append(raw, raw...)),
		"an error": canary.Errors(errors.New(string(raw))), "wrapped": canary.Errors(fmt.Errorf("x: %w", errors.New(string(raw)))),
		"joined":      canary.Errors(errors.Join(errors.New("x"), fmt.Errorf("y: %w", silent{raw}))),
		"a field":     canary.Errors(silent{raw}),
		"two wrapped": canary.Errors(fmt.Errorf("%w %w", errors.New("x"), &silent{raw})),
	} {
		if !b.In(text) {
			t.Errorf("%s: not found in %q", name, text)
		}
		if canary.New("Other").In(text) {
			t.Errorf("%s: another is found", name)
		}
	}
}

func TestLogsAreCollected(t *testing.T) {
	var o canary.Output
	restore := o.Logs()
	log.Print("one")
	slog.Debug("two")
	restore()
	if got := o.String(); !strings.Contains(got, "one") || !strings.Contains(got, "two") {
		t.Errorf("%q", got)
	}
}
