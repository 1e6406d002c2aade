import Weights

/// `generation_config.json`: when to stop and how to sample, unless the caller says otherwise.
///
/// Properties are the keys of the file, camel-cased. Absent keys mean what they mean to the reference: a file without
/// `do_sample` decodes greedily.
///
/// Source: transformers, `generation/configuration_utils.py`, `GenerationConfig`.
public struct GenerationConfiguration: Sendable, Hashable {
    /// One id or several in the file.
    public let eosTokenIds: [Int]
    public let padTokenId: Int?
    public let bosTokenId: Int?
    /// Their logits become −∞ before every choice.
    public let suppressTokens: [Int]
    public let doSample: Bool
    public let temperature: Double
    /// Nil or 0: no limit.
    public let topK: Int?
    public let topP: Double?
    public let minP: Double?
    public let repetitionPenalty: Double?

    /// - Parameter file: path of a `generation_config.json`; if there is none, decoding is greedy.
    /// - Throws: `CheckpointError` with the path of the key whose value cannot be used.
    public init(contentsOf file: String) throws(CheckpointError) {
        let object: ConfigurationObject
        do {
            object = try ConfigurationObject(contentsOf: file)
        } catch  where error.code == .fileNotFound {
            object = ConfigurationObject(file: file, path: "", members: [])
        }
        eosTokenIds = try object.tokenIds("eos_token_id")
        padTokenId = try object.integerIfPresent("pad_token_id", in: ConfigurationObject.tokenIds)
        bosTokenId = try object.integerIfPresent("bos_token_id", in: ConfigurationObject.tokenIds)
        suppressTokens = try object.tokenIds("suppress_tokens")
        doSample = try object.flag("do_sample", default: false)
        temperature = try object.numberIfPresent("temperature", in: 0...1e6) ?? 1
        topK = try object.integerIfPresent("top_k", in: ConfigurationObject.tokenIds)
        topP = try object.numberIfPresent("top_p", in: 0...1)
        minP = try object.numberIfPresent("min_p", in: 0...1)
        repetitionPenalty = try object.numberIfPresent("repetition_penalty", above: 0)
    }
}
