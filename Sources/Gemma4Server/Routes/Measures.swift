import Foundation
import Gemma4Kit
import Hummingbird
import Logging
import Metrics

/// Counts and times every request, names it, and logs its end.
struct MeasureRequests: RouterMiddleware {
    typealias Context = ServerContext

    let metrics: PrometheusMetrics
    let logger: Logger

    func handle(
        _ request: Request, context: ServerContext, next: (Request, ServerContext) async throws -> Response
    ) async throws -> Response {
        let start = ContinuousClock.now
        var response = try await next(request, context)
        let id = "req_\(WireID.random)"
        response.headers[.init("X-Request-Id")!] = id
        let status = Int(response.status.code)
        // Paths that are no routes would make a series each.
        let path = context.endpointPath ?? "other"
        let end: @Sendable (_ isWhole: Bool) -> Void = { [metrics, logger] isWhole in
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            let dimensions = [
                ("method", request.method.rawValue), ("path", path), ("status", isWhole ? "\(status)" : "cut"),
            ]
            Counter(label: "http_requests_total", dimensions: dimensions, factory: metrics).increment()
            Metrics.Timer(label: "http_request_duration_seconds", dimensions: [("path", path)], factory: metrics)
                .recordNanoseconds(Int64(seconds * 1e9))
            // Probes would fill the log.
            let level: Logger.Level = RequireKey.open.contains(path) || path == "/metrics" ? .debug : .info
            logger.log(
                level: level, "\(request.method.rawValue) \(request.uri.path)",
                metadata: [
                    "status": .stringConvertible(status),
                    "seconds": .stringConvertible((seconds * 1e4).rounded() / 1e4),
                    "request": .string(id), "whole": .string("\(isWhole)"),
                ])
        }
        let body = response.body
        response.body = ResponseBody(contentLength: body.contentLength) { writer in
            do {
                try await body.write(writer)
                end(true)
            } catch {
                end(false)
                throw error
            }
        }
        return response
    }
}

extension ModelServer {
    /// `GET /metrics`.
    @Sendable func showMetrics(_ request: Request, context: ServerContext) async -> Response {
        let statistics = await pipeline.statistics
        var text = metrics.text
        func add(_ name: String, _ kind: String, _ value: Double) {
            text += "# TYPE gemma4_\(name) \(kind)\ngemma4_\(name) \(PrometheusMetrics.number(value))\n"
        }
        add("answers_running", "gauge", Double(statistics.running))
        add("answers_waiting", "gauge", Double(statistics.waiting))
        add("places_taken", "gauge", Double(admission.taken))
        add("media_encoding", "gauge", Double(statistics.encoding))
        add("cache_admitted_bytes", "gauge", Double(statistics.admittedBytes))
        add("cache_kept_bytes", "gauge", Double(statistics.keptBytes + statistics.keptMediaBytes))
        add("steps_total", "counter", Double(statistics.steps))
        add("busy_seconds_total", "counter", statistics.busySeconds)
        add("prompt_tokens_total", "counter", Double(statistics.promptTokens))
        add("cached_tokens_total", "counter", Double(statistics.cachedTokens))
        add("generated_tokens_total", "counter", Double(statistics.generatedTokens))
        add("media_hits_total", "counter", Double(statistics.mediaHits))
        add("answers_ended_total", "counter", Double(statistics.ended))
        if let bytes = Self.residentBytes {
            text += "# TYPE process_resident_memory_bytes gauge\nprocess_resident_memory_bytes \(bytes)\n"
        }
        return Response(
            status: .ok, headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8"],
            body: .init(byteBuffer: ByteBuffer(string: text)))
    }

    /// Nil where the system has no `/proc`.
    private static var residentBytes: Int? {
        guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return nil }
        let pages = text.split(separator: " ").dropFirst().first.flatMap { Int($0) }
        return pages.map { $0 * Int(getpagesize()) }
    }
}
