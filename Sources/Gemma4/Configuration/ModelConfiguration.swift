import Weights

/// `config.json` of a Gemma 4 checkpoint, in either spelling (Google's, or that of transformers 5.23), or of
/// EmbeddingGemma 2.
///
/// Properties are the keys of the file, camel-cased.
package struct ModelConfiguration: Sendable, Hashable {
    package let textConfig: TextConfiguration
    /// The image encoder; nil if the checkpoint has none.
    package let visionConfig: VisionConfiguration?
    /// The sound encoder; nil if the checkpoint has none.
    package let audioConfig: AudioConfiguration?
    /// `vision_config` and `audio_config` of the 12B, which has no encoders; nil for other variants.
    package let unifiedVisionConfig: UnifiedVisionConfiguration?
    package let unifiedAudioConfig: UnifiedAudioConfiguration?

    /// Placeholders of one soft token each, and the markers around a run of them. Nil if the file has none.
    package let imageTokenId, videoTokenId, audioTokenId: Int?
    package let boiTokenId, eoiTokenId: Int?
    package let boaTokenId, eoaTokenId: Int?

    /// Union of the ids at top level and in `text_config`; `generation_config.json` adds more.
    package let eosTokenIds: [Int]
    /// Whether the output head is the embedding table.
    package let tieWordEmbeddings: Bool
    /// `quantization_config`; nil if there is none.
    package let quantization: QuantizationConfiguration?

    /// - Parameter file: path of a `config.json`.
    /// - Throws: `CheckpointError` with the path of the key that is missing or unsupported.
    package init(contentsOf file: String) throws(CheckpointError) {
        try self.init(ConfigurationObject(contentsOf: file))
    }

    init(_ root: ConfigurationObject) throws(CheckpointError) {
        let modelType = try root.stringIfPresent("model_type")
        guard let modelType else { throw root.missing("model_type") }
        if modelType.hasPrefix("gemma4") || modelType == "embedding_gemma2", !modelType.hasSuffix("assistant") {
            try ForeignCheckpoint.check(root)
        }
        switch modelType {
        case "gemma4", "gemma4_unified", "embedding_gemma2":
            let (vision, audio) = (try root.objectIfPresent("vision_config"), try root.objectIfPresent("audio_config"))
            let isUnified = modelType == "gemma4_unified"
            textConfig = try TextConfiguration(root.object("text_config"))
            visionConfig = isUnified ? nil : try vision.map(VisionConfiguration.init)
            audioConfig = isUnified ? nil : try audio.map(AudioConfiguration.init)
            unifiedVisionConfig = isUnified ? try vision.map(UnifiedVisionConfiguration.init) : nil
            unifiedAudioConfig = isUnified ? try audio.map(UnifiedAudioConfiguration.init) : nil
            tieWordEmbeddings =
                try root.value("tie_word_embeddings") == nil
                ? root.object("text_config").flag("tie_word_embeddings", default: true)
                : root.flag("tie_word_embeddings", default: true)
            eosTokenIds = try Self.union(
                root.tokenIds("eos_token_id"), root.object("text_config").tokenIds("eos_token_id"))
        case "gemma4_text", "gemma4_unified_text":  // the decoder alone, its keys at top level
            textConfig = try TextConfiguration(root)
            (visionConfig, audioConfig, unifiedVisionConfig, unifiedAudioConfig) = (nil, nil, nil, nil)
            tieWordEmbeddings = try root.flag("tie_word_embeddings", default: true)
            eosTokenIds = try root.tokenIds("eos_token_id")
        default:
            throw Self.unsupported(modelType, root)
        }
        quantization = try QuantizationConfiguration(root)
        func id(_ key: String, neededFor tower: Bool) throws(CheckpointError) -> Int? {
            guard let id = try root.integerIfPresent(key, in: ConfigurationObject.tokenIds) else {
                if tower { throw root.missing(key) }
                return nil
            }
            return id
        }
        let takesImages = visionConfig != nil || unifiedVisionConfig != nil
        let takesSound = audioConfig != nil || unifiedAudioConfig != nil
        imageTokenId = try id("image_token_id", neededFor: takesImages)
        boiTokenId = try id("boi_token_id", neededFor: takesImages)
        eoiTokenId = try id("eoi_token_id", neededFor: takesImages)
        videoTokenId = try id("video_token_id", neededFor: false)
        audioTokenId = try id("audio_token_id", neededFor: takesSound)
        boaTokenId = try id("boa_token_id", neededFor: takesSound)
        // Google writes eoa_token_id, transformers eoa_token_index.
        let eoa = try id("eoa_token_id", neededFor: false)
        eoaTokenId = try eoa == nil ? id("eoa_token_index", neededFor: takesSound) : eoa
    }

    package var takesImages: Bool { visionConfig != nil || unifiedVisionConfig != nil }
    /// Whether the model computes embeddings and does not generate text.
    package var isEncoder: Bool { textConfig.embeddingDim != nil }
    package var takesSound: Bool { audioConfig != nil || unifiedAudioConfig != nil }

    private static func union(_ first: [Int], _ second: [Int]) -> [Int] {
        first + second.filter { !first.contains($0) }
    }

    private static func unsupported(_ modelType: String, _ root: ConfigurationObject) -> CheckpointError {
        let kind = ForeignCheckpoint.kind(of: modelType, template: ForeignCheckpoint.templateBeside(root.file))
        return CheckpointError(
            .unsupportedModel, file: root.file, place: "model_type", expected: "\"gemma4\"",
            found: "\"\(modelType)\" (\(kind))", remedy: ForeignCheckpoint.replacement(for: modelType, root))
    }
}
