import Foundation
import Gemma4Kit
import HTTPTypes
import Hummingbird
import Instrumentation
import Logging
import Metrics
import Tracing

/// Counts and times every request, assigns its id and span, and logs its end.
struct MeasureRequests: RouterMiddleware {
    typealias Context = ServerContext

    let metrics: PrometheusMetrics
    let tracer: any Tracer
    let logger: Logger

    private static let methods: Set<HTTPRequest.Method> = [.get, .head, .post, .put, .patch, .delete, .options]

    func handle(
        _ request: Request, context: ServerContext, next: (Request, ServerContext) async throws -> Response
    ) async throws -> Response {
        let start = ContinuousClock.now
        var origin = InstrumentationContext.current ?? .topLevel
        tracer.extract(request.headers, into: &origin, using: HeaderValues())
        let span = tracer.startSpan(request.method.rawValue, context: origin, ofKind: .server)
        var context = context
        context.span = span
        var response: Response
        do {
            response = try await InstrumentationContext.$current.withValue(span.context) {
                try await next(request, context)
            }
        } catch {
            span.recordError(error)
            span.end()
            throw error
        }
        let id = "req_\(WireID.random)"
        response.headers[.init("X-Request-Id")!] = id
        let status = Int(response.status.code)
        // Unknown paths and methods share one label, to bound the number of time series.
        let path = context.endpointPath ?? "other"
        let method = Self.methods.contains(request.method) ? request.method.rawValue : "other"
        let end: @Sendable (_ isWhole: Bool) -> Void = { [metrics, logger] isWhole in
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            let dimensions = [
                ("method", method), ("path", path), ("status", isWhole ? "\(status)" : "cut"),
            ]
            Counter(label: "http_requests_total", dimensions: dimensions, factory: metrics).increment()
            Metrics.Timer(label: "http_request_duration_seconds", dimensions: [("path", path)], factory: metrics)
                .recordNanoseconds(Int64(seconds * 1e9))
            // Probes are logged at debug level only.
            let level: Logger.Level = RequireKey.open.contains(path) || path == "/metrics" ? .debug : .info
            logger.log(
                level: level, "\(request.method.rawValue) \(request.uri.path)",
                metadata: [
                    "status": .stringConvertible(status),
                    "seconds": .stringConvertible((seconds * 1e4).rounded() / 1e4),
                    "request": .string(id), "whole": .string("\(isWhole)"),
                ])
            span.operationName = "\(request.method.rawValue) \(path)"
            span.updateAttributes { attributes in
                attributes["http.request.method"] = request.method.rawValue
                attributes["http.route"] = path
                attributes["http.response.status_code"] = status
                attributes["gemma4.request_id"] = id
            }
            if status >= 500 || !isWhole { span.setStatus(SpanStatus(code: .error)) }
            span.end()
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

/// Extracts the client's trace context from the headers.
private struct HeaderValues: Extractor {
    func extract(key: String, from headers: HTTPFields) -> String? { HTTPField.Name(key).flatMap { headers[$0] } }
}

/// Token usage of the answers to one request, for its span.
struct AnswerUsage: Sendable {
    private var tokens = 0
    private var finishes: [GeneratedToken.Finish] = []

    mutating func append(_ token: GeneratedToken) {
        tokens += 1
        if let finish = token.finish { finishes.append(finish) }
    }

    /// Attributes of OpenTelemetry's semantic conventions for generative AI, and our own where those have none.
    func tell(_ span: (any Span)?, model: String) {
        guard let span, span.isRecording, let first = finishes.first else { return }
        span.updateAttributes { attributes in
            attributes["gen_ai.request.model"] = model
            attributes["gen_ai.response.finish_reasons"] = finishes.map(\.reason.rawValue)
            attributes["gen_ai.usage.input_tokens"] = first.promptTokens.count
            attributes["gen_ai.usage.output_tokens"] = tokens
            attributes["gemma4.cached_tokens"] = first.statistics.cachedTokens
            attributes["gemma4.prefill_seconds"] = first.statistics.prefillSeconds
            attributes["gemma4.decode_seconds"] = finishes.map(\.statistics.decodeSeconds).max()
        }
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

    /// Nil if the system has no `/proc`.
    private static var residentBytes: Int? {
        guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return nil }
        let pages = text.split(separator: " ").dropFirst().first.flatMap { Int($0) }
        return pages.map { $0 * Int(getpagesize()) }
    }
}
