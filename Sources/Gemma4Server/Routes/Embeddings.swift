import Foundation
import Gemma4Kit
import Hummingbird

extension ModelServer {
    /// `POST /v1/embeddings`: embeds texts, token ids, images and recordings.
    ///
    /// Source: https://platform.openai.com/docs/api-reference/embeddings. OpenAI has no media here: they are given as
    /// data URLs in place of texts, or as content parts of chat messages; `task` selects the model's published prompt.
    func embeddings(_ embedder: Embedder, _ request: Request, _ context: ServerContext) async throws -> Response {
        let fields = RequestFields(value: try await json(request))
        let asked = try EmbeddingRequest(fields, embedder)
        let places = try admission.enter(1, of: context.client)
        let (vectors, tokens) = try await HangUp.watching(context.channel) {
            let resolver = try await resolver(for: asked.references, context)
            return try await embedder.countedEmbeddings(
                try asked.inputs.map { try $0.input(resolver) }, task: asked.task, dimensions: asked.dimensions,
                limits: .init(maxImagePixels: options.imagePixels, maxAudioSeconds: options.recordingSeconds))
        }
        places.leave()
        let data = vectors.enumerated().map { index, vector -> JSONValue in
            ["object": "embedding", "index": .integer(index), "embedding": asked.encoding.value(vector)]
        }
        return Response(json: [
            "object": "list", "data": .array(data), "model": .string(options.modelName),
            "usage": ["prompt_tokens": .integer(tokens), "total_tokens": .integer(tokens)],
        ])
    }
}

/// An embeddings request.
private struct EmbeddingRequest: Sendable {
    enum Input: Sendable {
        case text(String)
        case tokens([Int])
        /// A `data:` URL, or a reference for the resolver.
        case medium(Medium, String)

        func input(_ resolver: MediaResolver) throws -> EmbeddingInput {
            switch self {
            case .text(let text): .text(text)
            case .tokens(let ids): .tokens(ids)
            case .medium(let medium, let reference):
                switch try Gemma4Pipeline.input(medium, reference, resolver) {
                case .image(let image): .image(image)
                case .audio(let audio): .audio(audio)
                case .video(let video): .video(video)
                }
            }
        }
    }

    enum Encoding: String, CaseIterable {
        case float, base64

        /// The shortest decimals that round-trip to the same 32-bit floats; or the floats as base64, little-endian.
        func value(_ vector: [Float]) -> JSONValue {
            switch self {
            case .float: .array(vector.map { .number(Double("\($0)")!) })
            case .base64:
                .string(vector.map(\.bitPattern.littleEndian).withUnsafeBytes { Data($0) }.base64EncodedString())
            }
        }
    }

    /// OpenAI's limit.
    private static let mostInputs = 2048

    let inputs: [Input]
    var references: [String] { inputs.compactMap { if case .medium(_, let reference) = $0 { reference } else { nil } } }
    var encoding = Encoding.float
    let dimensions: Int?
    let task: String?

    init(_ fields: RequestFields, _ embedder: Embedder) throws(WireError) {
        inputs = try Self.inputs(fields)
        guard (1...Self.mostInputs).contains(inputs.count) else {
            throw WireError(
                .badRequest, "input: expected 1 to \(Self.mostInputs) inputs, found \(inputs.count)",
                parameter: "input",
                code: "invalid_value")
        }
        if let name = try fields.string("encoding_format") {
            guard let encoding = Encoding(rawValue: name) else {
                throw fields.error("encoding_format", "float or base64")
            }
            self.encoding = encoding
        }
        dimensions = try fields.integer("dimensions", in: 1...(.max))
        let known = embedder.dimensions
        guard dimensions.map(known.contains) ?? true else {
            throw fields.error("dimensions", "one of \(known.map(String.init).joined(separator: ", "))")
        }
        task = try fields.string("task")
    }

    private static let expected = "a text, ids of tokens, a part of a message, or an array of any of them"

    private static func inputs(_ fields: RequestFields) throws(WireError) -> [Input] {
        guard let value = fields["input"] else { throw fields.error("input", expected) }
        guard case .array(let values) = value, value.tokenIds == nil else { return [try input(value, "input", fields)] }
        var inputs: [Input] = []
        for (index, value) in values.enumerated() { inputs.append(try input(value, "input[\(index)]", fields)) }
        return inputs
    }

    private static func input(_ value: JSONValue, _ place: String, _ fields: RequestFields) throws(WireError) -> Input {
        if let ids = value.tokenIds { return .tokens(ids) }
        switch value {
        case .string(let text) where text.hasPrefix("data:image/"): return .medium(.image, text)
        case .string(let text) where text.hasPrefix("data:audio/"): return .medium(.audio, text)
        case .string(let text): return .text(text)
        case .object: return try part(RequestFields(value: value, prefix: "\(place)."))
        default: throw fields.error("input", expected)
        }
    }

    private static func part(_ part: RequestFields) throws(WireError) -> Input {
        func required(_ name: String, _ member: String) throws(WireError) -> (RequestFields, String) {
            guard let object = try part.object(name), let text = try object.string(member) else {
                throw part.error(name, "an object with \(member)")
            }
            return (object, text)
        }
        switch try part.string("type") {
        case "text":
            guard let text = try part.string("text") else { throw part.error("text", "a string") }
            return .text(text)
        case "image_url": return .medium(.image, try required("image_url", "url").1)
        case "input_audio":
            let (audio, data) = try required("input_audio", "data")
            return .medium(.audio, "data:audio/\(try audio.string("format") ?? "wav");base64,\(data)")
        default: throw part.error("type", "text, image_url or input_audio")
        }
    }
}

extension JSONValue {
    /// The integers of an array of integers; nil for other and empty arrays.
    var tokenIds: [Int]? {
        guard case .array(let values) = self, !values.isEmpty else { return nil }
        let ids = values.compactMap { value -> Int? in if case .integer(let id) = value { id } else { nil } }
        return ids.count == values.count ? ids : nil
    }
}
