#include "kernels/server/metrics.h"

#include <exception>
#include <iterator>
#include <limits>
#include <utility>

namespace het {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

// From 50 us to half a minute, for loopback and a congested cluster alike.
const prometheus::Histogram::BucketBoundaries kSeconds = {
    5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02,
    0.05, 0.1,  0.2,  0.5,  1,    2,    5,    10,   30};

MetricFamily Family(const char* name, const char* help, MetricType type) {
  return {name, help, type, {}};
}

void Add(MetricFamily* family, Labels labels, double value) {
  ClientMetric metric;
  metric.label = std::move(labels);
  (family->type == MetricType::Counter ? metric.counter.value
                                       : metric.gauge.value) = value;
  family->metric.push_back(std::move(metric));
}

MetricFamily One(const char* name, const char* help, MetricType type,
                 double value) {
  MetricFamily family = Family(name, help, type);
  Add(&family, {}, value);
  return family;
}

void AddBytes(MetricFamily* family, const char* direction,
              const TrafficBytes& bytes) {
  for (const auto& [kind, count] :
       {std::pair("ids", bytes.ids), {"clocks", bytes.clocks},
        {"rows", bytes.rows}, {"gradients", bytes.gradients},
        {"framing", bytes.framing}}) {
    Add(family, {{"direction", direction}, {"kind", kind}},
        static_cast<double>(count));
  }
}

// Bucket b of TableStats::staleness ends before 2^b: distances are whole, so its
// bound is 2^b - 1.
ClientMetric StalenessOf(const TableStats& table) {
  ClientMetric metric;
  metric.label = {{"table", table.name}};
  std::uint64_t seen = 0;
  for (std::size_t b = 0; b < table.staleness.size(); ++b) {
    seen += static_cast<std::uint64_t>(table.staleness[b]);
    const bool last = b + 1 == table.staleness.size();
    metric.histogram.bucket.push_back(
        {seen, last ? std::numeric_limits<double>::infinity()
                    : static_cast<double>((std::uint64_t{1} << b) - 1)});
  }
  metric.histogram.sample_count = seen;
  metric.histogram.sample_sum = static_cast<double>(table.staleness_sum);
  return metric;
}

}  // namespace

void Metrics::Method::Answered(StatusCode code,
                               std::chrono::steady_clock::duration took) {
  if (code == StatusCode::kOk) {
    ok_->Increment();
  } else {
    calls_->Add({{"method", name_}, {"code", StatusCodeName(code)}}).Increment();
  }
  seconds_->Observe(std::chrono::duration<double>(took).count());
}

Metrics::Metrics()
    : calls_(prometheus::BuildCounter()
                 .Name("het_tf_calls_total")
                 .Help("Calls answered, by method and gRPC status code.")
                 .Register(registry_)),
      seconds_(prometheus::BuildHistogram()
                   .Name("het_tf_call_seconds")
                   .Help("From a call's arrival to its answer.")
                   .Register(registry_)) {}

Metrics::Method Metrics::AddMethod(const char* name) {
  Method method;
  method.name_ = name;
  method.calls_ = &calls_;
  method.ok_ = &calls_.Add({{"method", name}, {"code", "OK"}});
  method.seconds_ = &seconds_.Add({{"method", name}}, kSeconds);
  return method;
}

std::vector<MetricFamily> Metrics::Collect() const {
  std::vector<MetricFamily> all = registry_.Collect();
  const Result<ShardStats> stats = source_();
  if (!stats.ok()) return all;
  all.push_back(One("het_tf_uptime_seconds", "Since the shard started.",
                    MetricType::Gauge, stats->uptime_seconds));
  all.push_back(One("het_tf_workers", "Worker incarnations that are remembered.",
                    MetricType::Gauge, static_cast<double>(stats->workers)));
  all.push_back(One("het_tf_connections", "Open connections.", MetricType::Gauge,
                    static_cast<double>(stats->connections)));
  all.push_back(One("het_tf_exchanges_total", "Exchanges applied.",
                    MetricType::Counter, static_cast<double>(stats->exchanges)));
  all.push_back(One("het_tf_repeated_exchanges_total",
                    "Exchanges recognised as repeats and not applied again.",
                    MetricType::Counter,
                    static_cast<double>(stats->repeated_exchanges)));
  all.push_back(One("het_tf_memory_limit_bytes",
                    "What rows may take (--max-memory); 0: no limit.",
                    MetricType::Gauge,
                    static_cast<double>(stats->memory_limit_bytes)));
  MetricFamily bytes = Family("het_tf_bytes_total",
                              "Bytes of exchanges on the wire, by kind.",
                              MetricType::Counter);
  AddBytes(&bytes, "sent", stats->traffic.sent);
  AddBytes(&bytes, "received", stats->traffic.received);
  all.push_back(std::move(bytes));
  MetricFamily refused =
      Family("het_tf_refused_total", "Callers and connections refused, by reason.",
             MetricType::Counter);
  for (const auto& [reason, count] : stats->refused) {
    Add(&refused, {{"reason", reason}}, static_cast<double>(count));
  }
  all.push_back(std::move(refused));
  MetricFamily rows = Family("het_tf_rows", "Rows that have been pushed to.",
                             MetricType::Gauge);
  MetricFamily memory =
      Family("het_tf_memory_bytes", "Rows, optimizer slots, clocks and index.",
             MetricType::Gauge);
  MetricFamily staleness = Family(
      "het_tf_staleness",
      "Clock ticks by which rows that workers had validated were behind.",
      MetricType::Histogram);
  for (const TableStats& table : stats->tables) {
    Add(&rows, {{"table", table.name}}, static_cast<double>(table.rows));
    Add(&memory, {{"table", table.name}}, static_cast<double>(table.memory_bytes));
    if (!table.staleness.empty()) staleness.metric.push_back(StalenessOf(table));
  }
  all.push_back(std::move(rows));
  all.push_back(std::move(memory));
  all.push_back(std::move(staleness));
  return all;
}

Result<std::unique_ptr<MetricsPage>> MetricsPage::Serve(
    const std::string& listen, const std::shared_ptr<Metrics>& metrics) {
  auto page = std::make_unique<MetricsPage>();
  page->metrics_ = metrics;
  try {
    page->exposer_ = std::make_unique<prometheus::Exposer>(
        std::vector<std::string>{"listening_ports", listen, "num_threads", "2",
                                 // Slow readers do not hold a thread for ever.
                                 "request_timeout_ms", "10000"});
  } catch (const std::exception& error) {
    return AlreadyExists("cannot serve metrics on ", listen, " (", error.what(),
                         "): expected host:port of this host that is free");
  }
  page->exposer_->RegisterCollectable(page->metrics_);
  const std::vector<int> ports = page->exposer_->GetListeningPorts();
  page->address_ = listen.substr(0, listen.rfind(':') + 1) +
                   std::to_string(ports.empty() ? 0 : ports.front());
  return page;
}

}  // namespace het
