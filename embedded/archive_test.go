package embedded

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sdsaws/sdsaws/store"
	"github.com/sdsaws/sdsaws/store/storetest"
)

func TestArchive(t *testing.T) {
	s := open(t, t.TempDir(), nil)
	storetest.TestArchive(t, func(*testing.T) store.Archive { return s.Archive() })
}

// TestNamesStayInside: no name leads out of the archive's directory.
func TestNamesStayInside(t *testing.T) {
	s := open(t, t.TempDir(), nil)
	for _, name := range []string{"../x", "a/../../x", "/x", "", ".partial/x"} {
		if _, err := s.Archive().Put(t.Context(), name, nil); err == nil {
			t.Errorf("an object was put under %q", name)
		}
	}
}

// TestHalfWrittenObjectsGo: what a killed process was writing is neither listed nor kept.
func TestHalfWrittenObjectsGo(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	if _, err := s.Archive().Put(t.Context(), "x", nil); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(dir, "archive", ".partial", "half")
	if err := os.WriteFile(half, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	for o, err := range s.Archive().List(t.Context(), "") {
		if err != nil || o.Name != "x" {
			t.Errorf("listed %+v, %v", o, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir, nil)
	if _, err := os.Stat(half); !os.IsNotExist(err) {
		t.Errorf("still there after opening: %v", err)
	}
}
