package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sdsaws/sdsaws"
	"github.com/sdsaws/sdsaws/store"
)

const storedHelp = `Backends:
  embedded:DIR                                  the store in DIR, which no other process may have open
  aws:state=TABLE,hints=TABLE,bucket=BUCKET[,prefix=P]
                                                tables and bucket on AWS; region, endpoint and credentials
                                                are those of the standard AWS environment (AWS_REGION,
                                                AWS_ENDPOINT_URL, AWS_PROFILE, …)`

// stored are the flags that say which channels a command is about.
type stored struct {
	backend   string
	namespace namespaceFlag
	create    bool // the store of an embedded backend, where there is none
}

func (s *stored) addTo(cmd *cobra.Command) {
	addBackend(cmd, &s.backend, "", "where the channels are stored")
	cmd.Flags().Var(&s.namespace, "namespace", "whose channels: Options.Namespace of the participant's adapter")
}

// addBackend adds --backend, which shells complete as far as can be known.
func addBackend(cmd *cobra.Command, value *string, otherwise, usage string) {
	cmd.Flags().StringVar(value, "backend", otherwise, usage)
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("backend", cobra.FixedCompletions(
		[]string{"embedded:", "aws:state="}, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace)))
}

// opened is a store that was there before, and an adapter over it that holds no channel.
type opened struct {
	backend   *backend
	adapter   *sdsaws.Adapter
	namespace string
}

func (s *stored) open(cmd *cobra.Command) (*opened, error) { return s.openWith(cmd, sdsaws.Options{}) }

// openWith is open with options of the adapter.
func (s *stored) openWith(cmd *cobra.Command, options sdsaws.Options) (*opened, error) {
	if err := s.complete(cmd); err != nil {
		return nil, err
	}
	if dir, isEmbedded := strings.CutPrefix(s.backend, "embedded:"); isEmbedded && !s.create {
		if err := checkEmbedded(dir); err != nil {
			return nil, err
		}
	}
	b, err := openBackend(cmd.Context(), s.backend)
	if err != nil {
		return nil, err
	}
	options.Namespace, options.Region = string(s.namespace), b.region
	a, err := sdsaws.New(sdsaws.Backend{Log: b, Hints: b, Archive: b.Archive()}, &options)
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return &opened{b, a, string(s.namespace)}, nil
}

// complete returns an error unless all is given that is needed.
func (s *stored) complete(cmd *cobra.Command) error {
	dir, isEmbedded := strings.CutPrefix(s.backend, "embedded:")
	switch {
	case s.backend == "":
		return usageError(cmd, errors.New(
			"--backend is needed: embedded:DIR or aws:state=TABLE,hints=TABLE,bucket=BUCKET"))
	case isEmbedded && dir == "":
		return usageError(cmd, errors.New("--backend embedded: needs the store's directory: embedded:DIR"))
	case s.namespace == "":
		return usageError(cmd, errors.New("--namespace is needed: that of the participant whose channels these are"))
	}
	return nil
}

// checkEmbedded refuses a directory without a store: opening it would create one.
func checkEmbedded(dir string) error {
	const database = "sdsaws.sqlite"
	_, err := os.Stat(filepath.Join(dir, database))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no store in %q: it has no file %s", dir, database)
	}
	return err
}

// close closes the adapter, which has nothing to write, and the backend.
func (o *opened) close(ctx context.Context) error {
	return errors.Join(o.adapter.Close(context.WithoutCancel(ctx)), o.backend.close())
}

// mustHave returns an error when there is no such channel.
func (o *opened) mustHave(ctx context.Context, channel string) error {
	head, err := o.backend.Head(ctx, store.Key{Namespace: o.namespace, Channel: channel})
	if err == nil && head == nil {
		err = o.noChannel(channel)
	}
	return err
}

func (o *opened) noChannel(channel string) error {
	return fmt.Errorf("there is no channel %s in namespace %s", quoteID(channel), quoteID(o.namespace))
}
