//go:build unix

package embedded

import (
	"errors"
	"os"
)

// syncDir makes what was created, linked or removed in a directory last.
func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // a directory of the store
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
