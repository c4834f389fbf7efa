// Metrics: what the shard tells Prometheus.
//
// Calls are metered as they are answered; everything else is asked for when
// somebody scrapes. MetricsPage serves them over HTTP, at /metrics.
//
// Ownership: Metrics owns its registry; a Method views it. Thread-safety: all
// methods may be called from any thread, SetSource before the first scrape.

#ifndef HET_TF_KERNELS_SERVER_METRICS_H_
#define HET_TF_KERNELS_SERVER_METRICS_H_

#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/exposer.h>
#include <prometheus/family.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/base/status.h"
#include "kernels/store/embedding_store.h"

namespace het {

class Metrics final : public prometheus::Collectable {
 public:
  using Source = std::function<Result<ShardStats>()>;

  // Of one RPC method.
  class Method {
   public:
    void Answered(StatusCode code, std::chrono::steady_clock::duration took);

   private:
    friend class Metrics;
    std::string name_;
    prometheus::Family<prometheus::Counter>* calls_;
    prometheus::Counter* ok_;
    prometheus::Histogram* seconds_;
  };

  Metrics();
  Method AddMethod(const char* name);
  void SetSource(Source source) { source_ = std::move(source); }

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  prometheus::Registry registry_;
  prometheus::Family<prometheus::Counter>& calls_;
  prometheus::Family<prometheus::Histogram>& seconds_;
  Source source_;
};

class MetricsPage {
 public:
  // ALREADY_EXISTS: it cannot listen there ("host:port").
  static Result<std::unique_ptr<MetricsPage>> Serve(
      const std::string& listen, const std::shared_ptr<Metrics>& metrics);

  // With the port it got.
  const std::string& address() const { return address_; }

 private:
  std::string address_;
  std::shared_ptr<Metrics> metrics_;  // the exposer refers to it weakly
  std::unique_ptr<prometheus::Exposer> exposer_;
};

}  // namespace het

#endif  // HET_TF_KERNELS_SERVER_METRICS_H_
