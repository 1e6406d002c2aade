import JSONText
import Weights

/// `generation_config.json`: the default stop tokens and sampling parameters.
///
/// Properties are the keys of the file, camel-cased. Absent keys have the reference's defaults: a file without
/// `do_sample` decodes greedily.
///
/// Source: transformers, `generation/configuration_utils.py`, `GenerationConfig`.
package struct GenerationConfiguration: Sendable, Hashable {
    /// A single id or a list in the file.
    package let eosTokenIds: [Int]
    package let padTokenId: Int?
    package let bosTokenId: Int?
    /// Their logits are set to −∞ before sampling.
    package let suppressTokens: [Int]
    package let doSample: Bool
    package let temperature: Double
    /// Nil or 0: no limit.
    package let topK: Int?
    package let topP: Double?
    package let minP: Double?
    package let repetitionPenalty: Double?

    /// - Parameter file: path of a `generation_config.json`; if it does not exist, decoding is greedy.
    /// - Throws: `CheckpointError` with the path of the key that has an invalid value.
    package init(contentsOf file: String) throws(CheckpointError) {
        let object: ConfigurationObject
        do {
            object = try ConfigurationObject(contentsOf: file)
        } catch  where error.code == .fileNotFound {
            object = ConfigurationObject(file: file, path: "", members: [])
        }
        try self.init(object)
    }

    /// - Parameters:
    ///   - file: a text model, which may contain sampling defaults. Absent ones have the published values.
    ///   - tokenId: the id of a special token by its text.
    /// - Throws: `CheckpointError` with the key that has an invalid value.
    package init(_ file: GGUFShards, tokenId: (String) -> Int?) throws(CheckpointError) {
        var object = GGUFConfiguration(file, prefix: "general.sampling.", path: "")
        let ends = ["<eos>", "<turn|>", "<|tool_response>"].compactMap(tokenId)
        object.add("eos_token_id", .array((ends + file.endTokenIds(besides: ends)).map(JSONValue.integer)))
        object.add("pad_token_id", tokenId("<pad>").map(JSONValue.integer) ?? .null)
        object.add("bos_token_id", tokenId("<bos>").map(JSONValue.integer) ?? .null)
        object.add("do_sample", true)
        try object.add("temperature", number: "temp", default: 1)
        try object.add("top_k", integer: "top_k", default: 64)
        try object.add("top_p", number: "top_p", default: 0.95)
        if file.metadata["general.sampling.min_p"] != nil { try object.add("min_p", number: "min_p") }
        if let suppressed = file.metadata[GGUFMetadata.suppressTokens] {
            guard let ids = suppressed.array?.integers else {
                throw object.invalid(GGUFMetadata.suppressTokens, expected: "token ids", found: suppressed)
            }
            object.add("suppress_tokens", .array(ids.map(JSONValue.integer)), from: GGUFMetadata.suppressTokens)
        }
        try self.init(ConfigurationObject(file: file.path, path: "", members: object.members, origins: object.origins))
    }

    private init(_ object: ConfigurationObject) throws(CheckpointError) {
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
