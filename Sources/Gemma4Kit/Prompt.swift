import Foundation
import Gemma4
import Generation
import JSONText
import Media
import Tokenization

/// Options for rendering a conversation to a prompt.
public struct PromptOptions: Sendable {
    /// Whether the model may think before it answers.
    public var thinking: Bool
    /// Keeps the thoughts of earlier turns that called tools.
    public var preserveThinking: Bool
    /// Each `{"type": "function", "function": {"name": …, "description": …, "parameters": …}}`.
    public var tools: [JSONValue]
    /// Maximum soft tokens per image: 70, 140, 280, 560 or 1120; nil uses the processor's configuration.
    public var imageTokens: Int?
    /// Maximum pixels of an image; larger ones are rejected before they are decoded. Nil: the reader's limit, 179 million.
    public var maxImagePixels: Int?
    /// Maximum duration of a recording, in seconds; nil: six hours.
    public var maxAudioSeconds: Double?
    /// Opens the media that messages refer to by path or URL; nil rejects all except data URLs, so that untrusted
    /// messages open no files.
    public var resolver: MediaResolver?
    /// Whether the assistant's turn is opened at the end.
    public var addGenerationPrompt: Bool
    /// Whether the model continues the last message; nil: if that is the assistant's, as in Hugging Face's pipelines.
    public var continueFinalMessage: Bool?

    /// Options of a prompt; every one has a default.
    public init(
        thinking: Bool = false, preserveThinking: Bool = false, tools: [JSONValue] = [], imageTokens: Int? = nil,
        maxImagePixels: Int? = nil, maxAudioSeconds: Double? = nil, resolver: MediaResolver? = nil,
        addGenerationPrompt: Bool = true,
        continueFinalMessage: Bool? = nil
    ) {
        self.thinking = thinking
        self.preserveThinking = preserveThinking
        self.tools = tools
        self.imageTokens = imageTokens
        self.maxImagePixels = maxImagePixels
        self.maxAudioSeconds = maxAudioSeconds
        self.resolver = resolver
        self.addGenerationPrompt = addGenerationPrompt
        self.continueFinalMessage = continueFinalMessage
    }

    func continues(_ messages: [ChatMessage]) -> Bool {
        continueFinalMessage ?? (addGenerationPrompt && messages.last?.canBeContinued == true)
    }
}

/// Opens the media that messages refer to.
public struct MediaResolver: Sendable {
    private let open: @Sendable (Medium, String) throws -> MediaInput

    /// - Parameter open: called with the kind of medium and the reference in the message.
    public init(_ open: @escaping @Sendable (Medium, String) throws -> MediaInput) { self.open = open }

    /// Opens local files by path or `file:` URL: only for messages of the machine's own user.
    ///
    /// - Parameter directory: the base of relative paths; nil: the current directory.
    public static func files(in directory: URL? = nil) -> MediaResolver {
        MediaResolver { medium, reference in
            var url = URL(filePath: reference, relativeTo: directory)
            if reference.contains("://") {
                guard let given = URL(string: reference), given.isFileURL else {
                    throw PromptError(.reference(reference))
                }
                url = given
            }
            return switch medium {
            case .audio: .audio(.file(url))
            case .image: .image(.file(url))
            case .video: .video(.file(url))
            }
        }
    }

    func callAsFunction(_ medium: Medium, _ reference: String) throws -> MediaInput { try open(medium, reference) }
}

/// The encoder inputs of one image, recording or video.
struct PreparedMedium: Sendable {
    let medium: Medium
    /// The image, each piece of a recording, or each frame of a video.
    let pieces: [EncoderInput]
    /// The text before each frame of a video or piece of a recording; empty for images.
    var labels: [String] = []

    /// The timestamp of a frame, `mm:ss` and a space; after the first frame also preceded by a space.
    ///
    /// Source: transformers, `processing_gemma4.py`, `replace_video_token`.
    static func label(of index: Int, at time: Double) -> String {
        let (minutes, seconds) = Int(time).quotientAndRemainder(dividingBy: 60)
        return (index > 0 ? " " : "") + String(format: "%02d:%02d ", minutes, seconds)
    }
}

extension Gemma4Pipeline {
    /// The text of a prompt, without opening its media.
    ///
    /// - Throws: `ChatError`.
    public func renderedText(_ messages: [ChatMessage], options: PromptOptions = .init()) throws -> String {
        try rendered(messages, options).text
    }

    private func rendered(_ messages: [ChatMessage], _ options: PromptOptions) throws -> RenderedPrompt {
        try chatTemplate.render(
            messages, tools: options.tools, thinking: options.thinking, preserveThinking: options.preserveThinking,
            addGenerationPrompt: options.addGenerationPrompt, continueFinalMessage: options.continues(messages))
    }

    /// The media referenced by messages, in order.
    func renderedMedia(
        _ messages: [ChatMessage], _ options: PromptOptions
    ) throws -> [(medium: Medium, reference: String?)] {
        try rendered(messages, options).media.map { ($0.medium, $0.reference) }
    }

    /// Creates a prompt: renders the conversation, decodes its media, expands the placeholders. Media are encoded
    /// when the prompt is prefilled.
    ///
    /// - Parameter media: as in `generate`.
    /// - Throws: `ChatError`, `PromptError`, `MediaError`, `ImageProcessorError`, `ModelInputError`.
    public func prompt(_ messages: [ChatMessage], media: [MediaInput]? = nil, options: PromptOptions = .init())
        async throws -> Prompt
    {
        try await preparation.run {
            var prepared: [PreparedMedium] = []
            return try prompt(messages, media: media, options: options, prepared: &prepared)
        }
    }

    /// The same, for a conversation whose first media have already been prepared; new ones are appended to
    /// `prepared`.
    ///
    /// Blocks its thread while media are decoded.
    func prompt(
        _ messages: [ChatMessage], media: [MediaInput]?, options: PromptOptions, prepared: inout [PreparedMedium]
    ) throws -> Prompt {
        let rendered = try rendered(messages, options)
        let named = rendered.media
        if let media, media.count != named.count {
            throw PromptError(.mediaCount(named: named.count, given: media.count))
        }
        for index in prepared.count..<max(prepared.count, named.count) {
            let input = try media?[index] ?? input(named[index].medium, named[index].reference, index: index, options)
            prepared.append(try encoderInputs(input, options))
        }
        for (index, (medium, _)) in named.enumerated() where prepared[index].medium != medium {
            throw PromptError(.mediumKind(index: index, named: medium.rawValue))
        }
        return try expand(rendered, prepared, tools: options.tools)
    }

    /// Expands the media of a rendered conversation: begin marker, placeholders and end marker of each piece.
    func expand(
        _ rendered: RenderedPrompt, _ prepared: [PreparedMedium], tools: [JSONValue] = []
    ) throws -> Prompt {
        var media: [(positions: Range<Int>, input: EncoderInput)] = []
        let ids = try rendered.tokens(tokenizer) { kind, index, writer in
            let medium = prepared[index]
            let (begin, placeholder, end) = markers(kind)
            for (piece, input) in medium.pieces.enumerated() {
                if !medium.labels.isEmpty { writer.append(medium.labels[piece]) }
                writer.append([begin].compactMap(\.self))
                media.append((writer.ids.count..<writer.ids.count + input.softTokenCount, input))
                writer.append([Int](repeating: placeholder, count: input.softTokenCount) + [end].compactMap(\.self))
            }
        }
        return Prompt(
            text: rendered.text, tokens: ids, media: media, opensThought: rendered.opensThought,
            allowsThought: rendered.allowsThought, tools: tools)
    }

    /// Plain text after `<bos>`: for scoring and plain continuation.
    public func prompt(text: String) throws -> Prompt { Prompt(tokens: try [id(of: "<bos>")] + tokenizer.encode(text)) }

    private func id(of token: String) throws -> Int {
        guard let id = tokenizer.specialTokens[token] else { throw PromptError(.missingToken(token)) }
        return id
    }

    func input(_ medium: Medium, _ reference: String?, index: Int, _ options: PromptOptions) throws
        -> MediaInput
    {
        guard let reference else { throw PromptError(.mediaCount(named: index + 1, given: index)) }
        return try Self.input(medium, reference, options.resolver)
    }

    /// The medium of a `data:` URL, or of the resolver.
    ///
    /// - Throws: `PromptError` if it is neither; errors of the resolver.
    package static func input(_ medium: Medium, _ reference: String, _ resolver: MediaResolver?) throws -> MediaInput {
        if reference.hasPrefix("data:") {
            guard let comma = reference.firstIndex(of: ","), reference[..<comma].hasSuffix(";base64"),
                let bytes = Data(
                    base64Encoded: String(reference[reference.index(after: comma)...].filter { !$0.isWhitespace }))
            else { throw PromptError(.reference(String(reference.prefix(40)))) }
            switch medium {
            case .audio: return .audio(.bytes(bytes, name: "data URL"))
            case .image: return .image(.bytes(bytes, name: "data URL"))
            case .video: throw PromptError(.reference(String(reference.prefix(40))))
            }
        }
        guard let resolver else { throw PromptError(.reference(reference)) }
        return try resolver(medium, reference)
    }

    /// Converts one image, recording or video to encoder inputs.
    ///
    /// Embedding models get no timestamps before frames; pieces of a recording are separated by a space, like several
    /// recordings of one input in the published processor.
    func encoderInputs(_ input: MediaInput, _ options: PromptOptions) throws -> PreparedMedium {
        let isEncoder = model.configuration.isEncoder
        switch input {
        case .image(let image):
            let processor = try imageProcessor(maxTokens: options.imageTokens)
            let pixels = try image.pixels(maxPixels: options.maxImagePixels)
            let patches = try processor(width: pixels.width, height: pixels.height, rgb: pixels.rgb)
            return PreparedMedium(medium: .image, pieces: [EncoderInput(patches)])
        case .audio(let audio):
            guard model.configuration.takesSound else { throw ModelInputError(.noTower("audio")) }
            let samples = try audio.samples(maxSeconds: options.maxAudioSeconds) { notice in
                logger.log(level: notice.isWarning ? .warning : .notice, "\(audio.name): \(notice.text)")
            }
            let pieces = soundFeatures.takesAnyLength ? [samples.indices] : AudioSplitter().pieces(of: samples)
            if pieces.count > 1 {
                logger.notice(
                    "a recording of \(samples.count / AudioReader.sampleRate) s is read in \(pieces.count) pieces of at most 30 s"
                )
            }
            var medium = PreparedMedium(medium: .audio, pieces: try pieces.map { try encoderInput(Array(samples[$0])) })
            if isEncoder { medium.labels = pieces.indices.map { $0 > 0 ? " " : "" } }
            return medium
        case .video(let video):
            let frames = try frames(video)
            let labels = isEncoder ? [] : frames.indices.map { PreparedMedium.label(of: $0, at: frames[$0].seconds) }
            return PreparedMedium(medium: .video, pieces: frames.map(\.input), labels: labels)
        }
    }

    /// The begin, placeholder and end ids of a medium's soft tokens.
    private func markers(_ medium: Medium) -> (begin: Int?, placeholder: Int, end: Int?) {
        let configuration = model.configuration
        return switch medium {
        case .audio: (configuration.boaTokenId, configuration.audioTokenId!, configuration.eoaTokenId)
        case .image: (configuration.boiTokenId, configuration.imageTokenId!, configuration.eoiTokenId)
        case .video: (configuration.boiTokenId, configuration.videoTokenId!, configuration.eoiTokenId)
        }
    }
}
