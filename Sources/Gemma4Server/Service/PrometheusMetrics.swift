import Metrics
import Synchronization

/// A metrics factory that exports Prometheus' text format.
///
/// Source: https://prometheus.io/docs/instrumenting/exposition_formats, text format 0.0.4.
public final class PrometheusMetrics: MetricsFactory {
    private let series = Mutex<[Key: Series]>([:])

    /// A registry without metrics.
    public init() {}

    private struct Key: Hashable {
        let name: String
        /// `{a="b"}`, or empty.
        let labels: String
    }

    /// A counter, made at its first use.
    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        make(.counter, label, dimensions)
    }

    /// A counter of fractions, made at its first use.
    public func makeFloatingPointCounter(
        label: String, dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler { make(.counter, label, dimensions) }

    /// A gauge, made at its first use.
    public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        make(.gauge, label, dimensions)
    }

    /// A histogram or gauge, made at its first use.
    public func makeRecorder(
        label: String, dimensions: [(String, String)], aggregate: Bool
    ) -> any RecorderHandler { make(aggregate ? .histogram : .gauge, label, dimensions) }

    /// A histogram of durations, made at its first use.
    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        make(.histogram, label, dimensions)
    }

    /// Forgets a counter.
    public func destroyCounter(_ handler: any CounterHandler) { remove(handler) }
    /// Forgets a counter of fractions.
    public func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) { remove(handler) }
    /// Forgets a gauge.
    public func destroyMeter(_ handler: any MeterHandler) { remove(handler) }
    /// Forgets a histogram or gauge.
    public func destroyRecorder(_ handler: any RecorderHandler) { remove(handler) }
    /// Forgets a histogram of durations.
    public func destroyTimer(_ handler: any TimerHandler) { remove(handler) }

    private func remove(_ handler: AnyObject) {
        series.withLock { series in series = series.filter { $0.value !== handler } }
    }

    /// Series of one name share their kind, that of the first.
    private func make(_ kind: Series.Kind, _ label: String, _ dimensions: [(String, String)]) -> Series {
        let key = Key(name: Self.name(label), labels: Self.labels(dimensions))
        return series.withLock { series in
            if let known = series[key] { return known }
            let made = Series(series.first { $0.key.name == key.name }?.value.kind ?? kind)
            series[key] = made
            return made
        }
    }

    static func name(_ label: String) -> String {
        let name = String(label.map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_" || $0 == ":") ? $0 : "_" })
        return name.first?.isNumber == true ? "_" + name : name
    }

    static func labels(_ dimensions: [(String, String)]) -> String {
        guard !dimensions.isEmpty else { return "" }
        let pairs = dimensions.map { label, value in
            let escaped = value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
            return "\(name(label))=\"\(escaped)\""
        }
        return "{" + pairs.joined(separator: ",") + "}"
    }

    /// All series, grouped by name.
    public var text: String {
        let all = series.withLock { $0 }.sorted { ($0.key.name, $0.key.labels) < ($1.key.name, $1.key.labels) }
        var text = ""
        var previous: String?
        for (key, series) in all {
            if key.name != previous { text += "# TYPE \(key.name) \(series.kind.rawValue)\n" }
            previous = key.name
            text += series.text(key.name, key.labels)
        }
        return text
    }

    static func number(_ value: Double) -> String {
        switch value {
        case .infinity: "+Inf"
        case -.infinity: "-Inf"
        case let value where value.isNaN: "NaN"
        case let value where value == value.rounded() && abs(value) < 1e15: String(Int64(value))
        default: "\(value)"
        }
    }
}

/// One series: a counter, a gauge, or a histogram, in seconds if a timer feeds it.
private final class Series: CounterHandler, FloatingPointCounterHandler, MeterHandler, RecorderHandler, TimerHandler {
    enum Kind: String, Sendable { case counter, gauge, histogram }

    /// Upper bounds of histogram buckets in seconds, from steps over first tokens to long recordings.
    static let bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600]

    let kind: Kind
    private let state: Mutex<(value: Double, count: Int, buckets: [Int])>

    init(_ kind: Kind) {
        self.kind = kind
        state = Mutex((0, 0, Array(repeating: 0, count: kind == .histogram ? Self.bounds.count : 0)))
    }

    func increment(by amount: Int64) { increment(by: Double(amount)) }
    func increment(by amount: Double) { state.withLock { $0.value += amount } }
    func decrement(by amount: Double) { increment(by: -amount) }
    func reset() { state.withLock { $0.value = 0 } }
    func set(_ value: Int64) { set(Double(value)) }
    func set(_ value: Double) { state.withLock { $0.value = value } }
    func record(_ value: Int64) { record(Double(value)) }
    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }

    func record(_ value: Double) {
        guard kind == .histogram else { return set(value) }
        state.withLock { state in
            state.value += value
            state.count += 1
            for (index, bound) in Self.bounds.enumerated() where value <= bound { state.buckets[index] += 1 }
        }
    }

    func text(_ name: String, _ labels: String) -> String {
        let (value, count, buckets) = state.withLock { $0 }
        guard kind == .histogram else { return "\(name)\(labels) \(PrometheusMetrics.number(value))\n" }
        let inner = labels.isEmpty ? "" : labels.dropFirst().dropLast() + ","
        var text = ""
        for (bound, count) in zip(Self.bounds + [.infinity], buckets + [count]) {
            text += "\(name)_bucket{\(inner)le=\"\(PrometheusMetrics.number(bound))\"} \(count)\n"
        }
        return text + "\(name)_sum\(labels) \(value)\n\(name)_count\(labels) \(count)\n"
    }
}
