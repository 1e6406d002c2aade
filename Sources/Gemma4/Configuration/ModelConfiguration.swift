import Weights

/// `config.json` of a Gemma 4 checkpoint, in either spelling: Google's, or the one that transformers 5.23 saves.
///
/// Properties are the keys of the file, camel-cased.
public struct ModelConfiguration: Sendable, Hashable {
    public let textConfig: TextConfiguration
    /// Nil: the checkpoint takes no images.
    public let visionConfig: VisionConfiguration?
    /// Nil: the checkpoint takes no sound.
    public let audioConfig: AudioConfiguration?

    /// Placeholders of one soft token each, and the markers around a run of them. Nil where the file has none.
    public let imageTokenId, videoTokenId, audioTokenId: Int?
    public let boiTokenId, eoiTokenId: Int?
    public let boaTokenId, eoaTokenId: Int?

    /// Union of the ids at top level and in `text_config`; `generation_config.json` adds more.
    public let eosTokenIds: [Int]
    /// Whether the output head is the embedding table.
    public let tieWordEmbeddings: Bool
    /// Nil: weights are stored as numbers.
    package let quantization: QuantizationConfiguration?

    /// - Parameter file: path of a `config.json`.
    /// - Throws: `CheckpointError` with the path of the key that is missing or cannot be run.
    public init(contentsOf file: String) throws(CheckpointError) {
        try self.init(ConfigurationObject(contentsOf: file))
    }

    init(_ root: ConfigurationObject) throws(CheckpointError) {
        let modelType = try root.stringIfPresent("model_type")
        guard let modelType else { throw root.missing("model_type") }
        switch modelType {
        case "gemma4":
            textConfig = try TextConfiguration(root.object("text_config"))
            visionConfig = try root.objectIfPresent("vision_config").map(VisionConfiguration.init)
            audioConfig = try root.objectIfPresent("audio_config").map(AudioConfiguration.init)
            tieWordEmbeddings =
                try root.value("tie_word_embeddings") == nil
                ? root.object("text_config").flag("tie_word_embeddings", default: true)
                : root.flag("tie_word_embeddings", default: true)
            eosTokenIds = try Self.union(
                root.tokenIds("eos_token_id"), root.object("text_config").tokenIds("eos_token_id"))
        case "gemma4_text":  // the decoder alone, its keys at top level
            textConfig = try TextConfiguration(root)
            visionConfig = nil
            audioConfig = nil
            tieWordEmbeddings = try root.flag("tie_word_embeddings", default: true)
            eosTokenIds = try root.tokenIds("eos_token_id")
        default:
            throw Self.unsupported(modelType, file: root.file)
        }
        quantization = try QuantizationConfiguration(root)
        func id(_ key: String, neededFor tower: Bool) throws(CheckpointError) -> Int? {
            guard let id = try root.integerIfPresent(key, in: ConfigurationObject.tokenIds) else {
                if tower { throw root.missing(key) }
                return nil
            }
            return id
        }
        let takesImages = visionConfig != nil
        let takesSound = audioConfig != nil
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

    private static func union(_ first: [Int], _ second: [Int]) -> [Int] {
        first + second.filter { !first.contains($0) }
    }

    private static func unsupported(_ modelType: String, file: String) -> CheckpointError {
        let kind =
            switch modelType {
            case "gemma4_unified":
                "the 12B model of Gemma 4, which has no towers and projects patches and samples directly"
            case "gemma4_assistant": "a draft model of Gemma 4, which only runs beside the model it drafts for"
            case "gemma3n", "gemma3n_text": "Gemma 3n, an older family with other layers"
            case "gemma3", "gemma3_text": "Gemma 3, an older family with other layers"
            case "gemma2": "Gemma 2, an older family with other layers"
            case "gemma": "Gemma 1, an older family with other layers"
            default: "another family of models"
            }
        return CheckpointError(
            .unsupportedModel, file: file, place: "model_type", expected: "\"gemma4\"",
            found: "\"\(modelType)\" (\(kind))",
            remedy: "This program runs Gemma 4 E2B, E4B, 31B and 26B-A4B.")
    }
}
