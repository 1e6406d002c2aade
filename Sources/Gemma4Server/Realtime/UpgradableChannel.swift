import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1
import NIOWebSocket

/// An HTTP/1.1 connection, or a WebSocket if its first request is an upgrade.
struct UpgradableChannel: ServerChildChannel {
    typealias Socket = NIOAsyncChannel<WebSocketFrame, WebSocketFrame>

    enum Spoken: Sendable {
        case http(HTTP1Channel.Value)
        case realtime(Socket, RealtimeRequest)
    }

    struct Value: ServerChildChannelValue {
        let channel: any Channel
        /// Known once the first request has arrived.
        let spoken: EventLoopFuture<Spoken>
    }

    let http: HTTP1Channel
    let server: ModelServer

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
        channel.eventLoop.makeCompletedFuture {
            var configuration = NIOUpgradableHTTPServerPipelineConfiguration(
                upgradeConfiguration: NIOTypedHTTPServerUpgradeConfiguration(
                    upgraders: [webSocket], notUpgradingCompletionHandler: { plain($0, logger) }))
            // Hummingbird handles pipelining and header validation.
            configuration.enablePipelining = false
            configuration.enableResponseHeaderValidation = false
            let pipeline = channel.pipeline.syncOperations
            let spoken = try pipeline.configureUpgradableHTTPServerPipeline(configuration: configuration)
            let silent = SilentConnection()
            try pipeline.addHandler(silent)
            let patience = http.configuration.idleTimeout.map { timeout in
                channel.eventLoop.scheduleTask(in: timeout) { channel.close(promise: nil) }
            }
            spoken.whenComplete { _ in
                patience?.cancel()
                channel.pipeline.syncOperations.removeHandler(silent, promise: nil)
            }
            return Value(channel: channel, spoken: spoken)
        }
    }

    func handle(value: Value, logger: Logger) async {
        switch try? await value.spoken.get() {
        case .http(let channel): await http.handle(value: channel, logger: logger)
        case .realtime(let socket, let request): await server.realtime(socket, request)
        case nil: try? await value.channel.close()
        }
    }

    /// The pipeline that `HTTP1Channel.setup` adds after the decoder.
    private func plain(_ channel: any Channel, _ logger: Logger) -> EventLoopFuture<Spoken> {
        channel.eventLoop.makeCompletedFuture {
            let pipeline = channel.pipeline.syncOperations
            try pipeline.addHandler(HTTP1ToHTTPServerCodec(secure: false))
            try pipeline.addHandlers(http.configuration.additionalChannelHandlers())
            try pipeline.addHandler(
                HTTPConnectionStateHandler(
                    idleTimeout: http.configuration.idleTimeout.map { Duration($0) }, logger: logger))
            return .http(
                try NIOAsyncChannel(
                    wrappingChannelSynchronously: channel, configuration: .init(isOutboundHalfClosureEnabled: true)))
        }
    }

    private var webSocket: NIOTypedWebSocketServerUpgrader<Spoken> {
        let limit = server.options.realtimeMessageBytes
        return NIOTypedWebSocketServerUpgrader(
            maxFrameSize: limit,
            shouldUpgrade: { channel, head in
                // A refused upgrade is handled by a route, which returns the reason.
                channel.eventLoop.makeSucceededFuture((try? request(head))?.headers)
            },
            upgradePipelineHandler: { channel, head in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        NIOWebSocketFrameAggregator(
                            minNonFinalFragmentSize: 0, maxAccumulatedFrameCount: 1024, maxAccumulatedFrameSize: limit))
                    return .realtime(try NIOAsyncChannel(wrappingChannelSynchronously: channel), try request(head))
                }
            })
    }

    private func request(_ head: HTTPRequestHead) throws -> RealtimeRequest {
        try RealtimeRequest(HTTPRequest(head, secure: false, splitCookie: false), server)
    }
}

/// Closes a connection without a request when the server ends or the client closes its end.
private final class SilentConnection: ChannelInboundHandler, RemovableChannelHandler, Sendable {
    typealias InboundIn = Never

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        let isOver = if case ChannelEvent.inputClosed = event { true } else { event is ChannelShouldQuiesceEvent }
        if isOver { context.close(promise: nil) } else { context.fireUserInboundEventTriggered(event) }
    }
}
