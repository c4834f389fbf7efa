// The ops: their signatures, shapes and documentation.

#include <vector>

#include "kernels/ops/resources.h"
#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace het {
namespace {

using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ScalarShape;
using tensorflow::shape_inference::ShapeHandle;

absl::Status LookupShape(InferenceContext* c) {
  std::vector<std::int64_t> dimensions, table_of;
  std::vector<ShapeHandle> ids;
  TF_RETURN_IF_ERROR(c->GetAttr("dimensions", &dimensions));
  TF_RETURN_IF_ERROR(c->GetAttr("table_of", &table_of));
  TF_RETURN_IF_ERROR(c->input("ids", &ids));
  for (std::size_t f = 0; f < ids.size(); ++f) {
    // The kernel says what is wrong with numbers that do not fit.
    if (f >= table_of.size() || table_of[f] < 0 ||
        table_of[f] >= static_cast<std::int64_t>(dimensions.size())) {
      c->set_output(static_cast<int>(f), c->UnknownShape());
      continue;
    }
    ShapeHandle rows;
    TF_RETURN_IF_ERROR(c->Concatenate(
        ids[f],
        c->Vector(c->MakeDim(dimensions[static_cast<std::size_t>(table_of[f])])),
        &rows));
    c->set_output(static_cast<int>(f), rows);
  }
  return absl::OkStatus();
}

// ids [n] and rows or gradients [n, dimension] at inputs 1 and 2.
absl::Status CheckIdsAndRows(InferenceContext* c) {
  ShapeHandle handle, ids, rows;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 0, &handle));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(1), 1, &ids));
  TF_RETURN_IF_ERROR(c->WithRank(c->input(2), 2, &rows));
  DimensionHandle n;
  return c->Merge(c->Dim(ids, 0), c->Dim(rows, 0), &n);
}

absl::Status UpdateShape(InferenceContext* c) {
  std::vector<ShapeHandle> all_ids, all_gradients, rates;
  TF_RETURN_IF_ERROR(c->input("ids", &all_ids));
  TF_RETURN_IF_ERROR(c->input("gradients", &all_gradients));
  TF_RETURN_IF_ERROR(c->input("learning_rates", &rates));
  for (std::size_t t = 0; t < all_ids.size(); ++t) {
    ShapeHandle ids, gradients, rate;
    DimensionHandle n;
    TF_RETURN_IF_ERROR(c->WithRank(all_ids[t], 1, &ids));
    TF_RETURN_IF_ERROR(c->WithRank(all_gradients[t], 2, &gradients));
    TF_RETURN_IF_ERROR(c->Merge(c->Dim(ids, 0), c->Dim(gradients, 0), &n));
    TF_RETURN_IF_ERROR(c->WithRank(rates[t], 0, &rate));
  }
  ShapeHandle scale;
  return c->WithRank(c->input(c->num_inputs() - 1), 0, &scale);
}

absl::Status CheckClocksShape(InferenceContext* c) {
  ShapeHandle clocks;
  TF_RETURN_IF_ERROR(c->WithRank(c->input(0), 1, &clocks));
  TF_RETURN_IF_ERROR(c->Merge(clocks, c->input(1), &clocks));
  TF_RETURN_IF_ERROR(c->Merge(clocks, c->input(2), &clocks));
  c->set_output(0, clocks);
  return absl::OkStatus();
}

absl::Status ProgressShape(InferenceContext* c) {
  c->set_output(0, c->Vector(3));
  return absl::OkStatus();
}

absl::Status VectorShape(InferenceContext* c) {
  c->set_output(0, c->Vector(InferenceContext::kUnknownDim));
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("HetStore")
    .Output("store: resource")
    .Attr("addresses: list(string)")
    .Attr("deadline_ms: int >= 1 = 30000")
    .Attr("connect_timeout_ms: int >= 1 = 60000")
    .Attr("max_message_bytes: int >= 1 = 1073741824")
    .Attr("tls_ca: string = ''")
    .Attr("tls_cert: string = ''")
    .Attr("tls_key: string = ''")
    .Attr("token_file: string = ''")
    .Attr("admin_token_file: string = ''")
    .Attr("container: string = ''")
    .Attr("shared_name: string")
    .SetIsStateful()
    .SetShapeFn(ScalarShape)
    .Doc(R"doc(
Opens the store that holds the tables: shards at `addresses`, or one inside this
process when the list is empty. The same shared_name gives the same store.

addresses: "host:port" or "unix:/path", in shard order.
deadline_ms: after how long an unanswered call is an error, retries included.
connect_timeout_ms: how long to wait for each shard to come up.
tls_ca: PEM file of the CA of the shards' certificates; TLS with it.
tls_cert, tls_key: PEM files of this worker's own certificate.
token_file, admin_token_file: files of what is shown to be let in.
)doc");

REGISTER_OP("HetEmbeddingTable")
    .Input("store: resource")
    .Output("table: resource")
    .Attr("table_name: string")
    .Attr("dimension: int >= 1")
    .Attr("initializer: string = 'uniform'")
    .Attr("initializer_names: list(string) = []")
    .Attr("initializer_values: list(float) = []")
    .Attr("seed: int = 0")
    .Attr("optimizer: string = 'none'")
    .Attr("optimizer_names: list(string) = []")
    .Attr("optimizer_values: list(float) = []")
    .Attr("synchronous: bool = false")
    .Attr("capacity: int >= 0 = 0")
    .Attr("staleness: int >= -1 = 0")
    .Attr("policy: string = 'lfu'")
    .Attr("max_pending_commits: int >= 0 = 0")
    .Attr("vocabulary_size: int >= 0 = 0")
    .Attr("reject_non_finite: bool = false")
    .Attr("row_format: string = 'float32'")
    .Attr("gradient_format: string = 'float32'")
    .Attr("container: string = ''")
    .Attr("shared_name: string")
    .SetIsStateful()
    .SetShapeFn(ScalarShape)
    .Doc(R"doc(
A table in the store with this worker's cache before it. The same shared_name
gives the same table and cache; other options under it are an error, except that
a table with optimizer "none" gets the first other one that is given.

synchronous: one optimizer step per round over all workers; staleness 0 alone.
staleness: in clock ticks; -1 is unbounded.
capacity: rows kept between steps; 0 is no cache.
row_format, gradient_format: how rows and gradients travel to and from shards in
  other processes: float32, bfloat16, float16 or int8.
)doc");

REGISTER_OP("HetEmbeddingLookup")
    .Input("tables: num_tables * resource")
    .Input("ids: num_ids * Tids")
    .Output("rows: num_ids * float")
    .Attr("num_tables: int >= 1")
    .Attr("num_ids: int >= 1")
    .Attr("Tids: {int32, int64}")
    .Attr("table_of: list(int)")
    .Attr("dimensions: list(int)")
    .Attr("mode: {'training', 'inference', 'fresh'} = 'training'")
    .SetIsStateful()
    .SetShapeFn(LookupShape)
    .Doc(R"doc(
Reads rows: ids of any shape, rows of shape ids.shape + [dimension] each. What
has to be asked of the shards goes out as one exchange per shard.

table_of: for every tensor of ids the number of its table in `tables`.
dimensions: of the tables.
mode: "training" keeps the rows for the update that follows; "inference" reads
  through the cache; "fresh" reads past it.
)doc");

REGISTER_OP("HetEmbeddingPrefetch")
    .Input("tables: num_tables * resource")
    .Input("ids: num_ids * Tids")
    .Attr("num_tables: int >= 1")
    .Attr("num_ids: int >= 1")
    .Attr("Tids: {int32, int64}")
    .Attr("table_of: list(int)")
    .Attr("ahead: int >= 1")
    .SetIsStateful()
    .SetShapeFn(tensorflow::shape_inference::NoOutputs)
    .Doc(R"doc(
Asks for the rows that training lookups will read at most `ahead` commits later:
every tensor of `ids` (any shape) has all that one of them reads in its table,
ids[i] in tables[table_of[i]]. Done when it has been sent, as one exchange per
shard. REQUIRES: staleness above 0.
)doc");

REGISTER_OP("HetEmbeddingUpdate")
    .Input("tables: num_tables * resource")
    .Input("ids: num_tables * Tids")
    .Input("gradients: num_tables * float")
    .Input("learning_rates: num_tables * float")
    .Input("scale: float")
    .Attr("num_tables: int >= 1")
    .Attr("Tids: {int32, int64}")
    .SetIsStateful()
    .SetShapeFn(UpdateShape)
    .Doc(R"doc(
One optimizer step of every table on its rows `ids` ([n]): gradients
([n, dimension]) of equal ids are summed and multiplied by `scale`.
)doc");

REGISTER_OP("HetEmbeddingFlush")
    .Input("table: resource")
    .SetIsStateful()
    .SetShapeFn(tensorflow::shape_inference::NoOutputs)
    .Doc("Pushes every pending gradient and waits for the shards to have it.");

REGISTER_OP("HetEmbeddingAssign")
    .Input("table: resource")
    .Input("ids: Tids")
    .Input("rows: float")
    .Attr("Tids: {int32, int64}")
    .SetIsStateful()
    .SetShapeFn(CheckIdsAndRows)
    .Doc("Overwrites the rows `ids` ([n]) with `rows` ([n, dimension]).");

REGISTER_OP("HetEmbeddingStats")
    .Input("table: resource")
    .Output("stats: int64")
    .SetIsStateful()
    .SetShapeFn(VectorShape)
    .Doc("The cache's counters; het_tf/ops.py names them in this order.");

REGISTER_OP("HetCheckClocks")
    .Input("start: int64")
    .Input("current: int64")
    .Input("global: int64")
    .Output("valid: bool")
    .Attr("staleness: int >= -1")
    .SetShapeFn(CheckClocksShape)
    .Doc(R"doc(
Which copies of rows may be read: current <= start + staleness and
global <= current + staleness, the conditions of HET, for clocks [n] >= 0.

staleness: in clock ticks; -1 is unbounded.
)doc");

REGISTER_OP("HetEmbeddingForget")
    .Input("table: resource")
    .SetIsStateful()
    .SetShapeFn(tensorflow::shape_inference::NoOutputs)
    .Doc("Forgets this worker's copies of all rows; nothing may be pending.");

REGISTER_OP("HetStoreSnapshot")
    .Input("store: resource")
    .Input("directory: string")
    .Input("mark: string")
    .Input("checkpoint: string")
    .Input("base: string")
    .Input("call: int64")
    .Output("progress: int64")
    .Attr("begin: bool")
    .SetIsStateful()
    .SetShapeFn(ProgressShape)
    .Doc(R"doc(
Begins a checkpoint at every shard, of the rows as they are now, and says how far
it is: done (0 or 1), rows and bytes. Further calls with the same `call` only say
how far it is.

begin: false in further calls, which then fail when a shard has been restarted.

directory: for a shard in this process; others have been told theirs.
mark: what the directory's het_tf.mark has.
checkpoint: its name.
base: the one since which changed rows are written; "": all rows.
)doc");

REGISTER_OP("HetStoreRestore")
    .Input("store: resource")
    .Input("directory: string")
    .Input("mark: string")
    .Input("names: string")
    .Input("shards: int64")
    .Input("call: int64")
    .Output("progress: int64")
    .SetIsStateful()
    .SetShapeFn(ProgressShape)
    .Doc(R"doc(
Puts a checkpoint's rows in the place of all rows, with calls as in
HetStoreSnapshot. An error before it is done leaves everything as it was.

names: [n], a full checkpoint and those that build on it, in order.
shards: [n], by how many shards each was written.
)doc");

REGISTER_OP("HetStoreTraffic")
    .Input("store: resource")
    .Output("traffic: int64")
    .SetIsStateful()
    .SetShapeFn(VectorShape)
    .Doc(
        "Messages and bytes by kind, as this worker counts them; het_tf/ops.py "
        "names them in this order.");

}  // namespace het
