import Foundation
import Gemma4
import Generation
import JSONText
import Tokenization

/// Keys and values in files: what was read once need not be read again by the next process.
extension Gemma4Pipeline {
    /// Takes up what `savePromptCache` has written: a prompt that begins in the same way goes on from there. Its pictures and
    /// recordings are not encoded again.
    ///
    /// A saved conversation is taken up in the same way.
    ///
    /// - Returns: whether there is such a file.
    /// - Throws: an error with a diagnosis if the file is damaged, is none of these, or was written by another model, with other
    ///   weights or another precision, or if it takes more memory than the engine may.
    @discardableResult
    public func loadPromptCache(contentsOf url: URL) async throws -> Bool {
        guard FileManager.default.fileExists(atPath: url.path) else { return false }
        try await takeUp(url)
        return true
    }

    /// Writes keys and values of a prompt that has been answered, or whose answer has begun. Where prompts before it had begin
    /// in the same way, their common beginning is in the file, too.
    ///
    /// The file appears when it is complete. Call it once the prompt is read: see `GenerationOptions.onPrefill`.
    ///
    /// - Throws: an error with a diagnosis if the file cannot be written, would replace something else, or if nothing of the
    ///   prompt was kept.
    public func savePromptCache(of prompt: Prompt, to url: URL) async throws {
        try PromptCacheFile.checkReplaceable(url.path, byConversation: false)
        let states = await engine.states(of: prompt.units)
        guard !states.isEmpty else { throw PromptCacheError.nothingKept(url.path) }
        try await preparation.run {
            try PromptCacheFile(prompt, states).write(to: url.path, of: identity)
        }
    }

    /// A conversation that was saved, with its keys and values: its next turn reads only what is new.
    ///
    /// - Parameters: as in `conversation`. Other prompt options than at the time change what the model reads.
    /// - Throws: as `loadPromptCache`, and `ChatError`.
    public func conversation(
        contentsOf url: URL, tools: [any Tool] = [], toolRounds: Int = 10, prompt options: PromptOptions = .init()
    ) async throws -> Conversation {
        let file = try await takeUp(url)
        guard let saved = file.conversation else { throw PromptCacheError.noConversation(url.path) }
        var options = options
        options.tools += tools.map(\.declaration)
        let messages = try ChatMessage.parse(saved.messages)
        return Conversation(
            self, messages, prompt: options, tools: tools, toolRounds: toolRounds,
            media: try media(saved.media, of: messages, options), tokens: file.tokens)
    }

    /// The media of a saved conversation, of which none is opened before its tower needs it.
    private func media(
        _ saved: [PromptCacheFile.Conversation.Medium], of messages: [ChatMessage], _ options: PromptOptions
    ) throws -> [PreparedMedium] {
        let named = messages.isEmpty ? [] : try renderedMedia(messages, options)
        guard named.count == saved.count, zip(named, saved).allSatisfy({ $0.medium.rawValue == $1.kind }) else {
            return []
        }
        return zip(named, saved).enumerated().map { index, pair in
            let (named, saved) = pair
            let pieces = saved.pieces.enumerated().map { piece, known in
                EncoderInput(
                    hash: known.hash, softTokenCount: known.softTokenCount, isImage: named.medium != .audio
                ) {
                    guard named.reference != nil else { throw EncoderInputError.unknownPlace }
                    let input = try input(named.medium, named.reference, index: index, options)
                    let pieces = try encoderInputs(input, options).pieces
                    guard piece < pieces.count else { throw EncoderInputError.changed }
                    return pieces[piece]
                }
            }
            return PreparedMedium(medium: named.medium, pieces: pieces, labels: saved.labels)
        }
    }

    @discardableResult
    private func takeUp(_ url: URL) async throws -> PromptCacheFile {
        let file = try await preparation.run {
            try PromptCacheFile(
                contentsOf: url.path, of: identity, model, byteLimit: engine.memoryBytes)
        }
        await engine.keep(file.states, of: file.units)
        return file
    }

    /// What keys and values depend on: the shape of the model, its weights, and what is rounded.
    var identity: PromptCacheFile.Model {
        let configuration = model.configuration
        var hash = SHA256()
        hash.update("\(configuration.textConfig.layerPlans) \(configuration.textConfig.padTokenId)\n".utf8)
        hash.update("\(String(describing: configuration.visionConfig))\n".utf8)
        hash.update("\(String(describing: configuration.audioConfig))\n".utf8)
        hash.update("\(String(describing: configuration.unifiedVisionConfig))\n".utf8)
        hash.update("\(String(describing: configuration.unifiedAudioConfig))\n".utf8)
        let rounded = String(describing: precision.quantization)
        hash.update("\(precision.activations) \(precision.towerActivations) \(rounded)\n".utf8)
        hash.update(checkpoint.samples)
        return PromptCacheFile.Model(
            fingerprint: hash.hex(), name: URL(filePath: checkpoint.path).lastPathComponent,
            keyValueType: "\(model.keyValueType)")
    }
}

extension PromptCacheFile {
    init(_ prompt: Prompt, _ states: [CacheSnapshot], conversation: Conversation? = nil) {
        self.init(
            tokens: prompt.tokens, media: prompt.media.map { ($0.positions, $0.input.hash) }, states: states,
            conversation: conversation)
    }
}

extension PromptCacheFile.Conversation {
    init(_ messages: [ChatMessage], _ media: [PreparedMedium]) {
        self.init(
            messages: .array(messages.map(\.json)),
            media: media.map { medium in
                Medium(
                    kind: medium.medium.rawValue, pieces: medium.pieces.map { ($0.hash, $0.softTokenCount) },
                    labels: medium.labels)
            })
    }
}
