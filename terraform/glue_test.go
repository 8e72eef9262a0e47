package terraform_test

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/sdsaws/sdsaws/internal/record"
	"github.com/sdsaws/sdsaws/internal/segment"
	"github.com/sdsaws/sdsaws/store"
)

// athena returns the type of a Parquet column as Athena calls it.
func athena(f parquet.Field) string {
	if f.Type() != nil && f.Leaf() {
		if strings.HasPrefix(f.Type().String(), "TIMESTAMP") {
			return "timestamp"
		}
		return map[parquet.Kind]string{parquet.Int64: "bigint", parquet.ByteArray: "binary"}[f.Type().Kind()]
	}
	element := f.Fields()[0].Fields()[0] // a list
	var fields []string
	for _, inner := range element.Fields() {
		fields = append(fields, inner.Name()+":"+athena(inner))
	}
	return "array<struct<" + strings.Join(fields, ",") + ">>"
}

func segmentColumns() (all []string) {
	for _, f := range segment.Schema().Fields() {
		all = append(all, f.Name()+" "+athena(f))
	}
	return all
}

// glueTable is a table of Glue with the columns of segments. Its folders are what record.Folder
// has them be.
func glueTable(name, more string) string {
	var columns []string
	for _, c := range segmentColumns() {
		name, kind, _ := strings.Cut(c, " ")
		columns = append(columns, fmt.Sprintf(`{"name": %q, "type": %q}`, name, kind))
	}
	const hive = "org.apache.hadoop.hive.ql.io.parquet."
	return fmt.Sprintf(`%q: {"name": %q, "database_name": "sds", "table_type": "EXTERNAL_TABLE",
		"parameters": {"EXTERNAL": "TRUE", "classification": "parquet"%s,
		"storage_descriptor": [{"location": "s3://sds/%s%s/", "columns": [%s],
			"input_format": "`+hive+`MapredParquetInputFormat", "output_format": "`+hive+`MapredParquetOutputFormat",
			"ser_de_info": [{"serialization_library": "`+hive+`serde.ParquetHiveSerDe"}]}]}`,
		name, name, more, prefix, record.Segments, strings.Join(columns, ", "))
}

// template is the folder of any channel, as Glue fills it in.
func template() string {
	k := store.Key{Namespace: "n", Channel: "c"}
	return "s3://sds/" + prefix + strings.NewReplacer("=6e/", "=${namespace_hex}/", "=63/", "=${channel_hex}/").
		Replace(record.Folder(record.Segments, k))
}

func glueDiffers(t *testing.T, all fs.FS) []string {
	t.Helper()
	return differences(t, must(t, all, everythingAt()), map[string]string{
		"aws_glue_catalog_database.archive": `[{"name": "sds", "description": "The archive of sdsaws in sds."}]`,
		"aws_glue_catalog_table.archive": "{" + glueTable("archive", "}") + "," + glueTable("archive_by_channel", `,
			"projection.enabled": "true", "projection.namespace_hex.type": "injected", "projection.channel_hex.type": "injected",
			"storage.location.template": "`+template()+`"},
			"partition_keys": [{"name": "namespace_hex", "type": "string"}, {"name": "channel_hex", "type": "string"}]`) + "}",
	})
}

// TestAthenaSeesSegments: each column by its name, in order, as the type that Athena reads it as,
// in the folders that segments are in. What partitions a table has none of the columns' names.
func TestAthenaSeesSegments(t *testing.T) {
	columns := segmentColumns()
	if slices.ContainsFunc(columns, func(c string) bool { return strings.Contains(c, "_hex ") }) {
		t.Errorf("%q", columns)
	}
	const file = "modules/sdsaws/glue.tf"
	finds(t, glueDiffers, map[string]edit{
		"a name":             {file, `["sender_id", "binary"]`, `["sender", "binary"]`},
		"a type":             {file, `["lamport", "bigint"]`, `["lamport", "int"]`},
		"a field":            {file, "sender_id:binary>>", "sender_id:string>>"},
		"one less":           {file, `    ["raw", "binary"],` + "\n", ""},
		"another folder":     {file, "channel=$${channel_hex}/", "chan=$${channel_hex}/"},
		"no projection":      {file, `"projection.enabled"            = "true"`, `"projection.enabled" = "false"`},
		"another projection": {file, `"projection.channel_hex.type"   = "injected"`, `"projection.channel_hex.type" = "enum"`},
		"another partition":  {file, `"namespace_hex", "channel_hex"]`, `"namespace_hex", "channel"]`},
		"another type":       {file, `"EXTERNAL_TABLE"`, `"VIRTUAL_VIEW"`},
		"no prefix":          {file, "${local.bucket}/${var.prefix}segments/", "${local.bucket}/segments/"},
		"another kind":       {file, "${local.bucket}/${var.prefix}segments/", "${local.bucket}/${var.prefix}values/"},
		"another format":     {file, "ParquetHiveSerDe", "OpenCSVSerde"},
	})
	t.Logf("terraform-test: %d columns of 2 tables are those of segments", len(columns))
}
