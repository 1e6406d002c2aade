/// The two formats of checkpoints, and how messages refer to them.
package enum CheckpointFormat: Sendable {
    case directory, gguf

    /// What determines the expected tensors.
    var description: String {
        switch self {
        case .directory: "config.json"
        case .gguf: "the file's metadata"
        }
    }

    var remedy: String {
        switch self {
        case .directory:
            "config.json and weights are of different models; use the config.json published beside these weights."
        case .gguf:
            "The file was made for another version of the model, or by an unfinished conversion: get another file."
        }
    }

    /// The name in the files of a tensor with that published name.
    func storedName(_ published: String) -> String {
        switch self {
        case .directory: published
        case .gguf: GGUFNames.stored(published)?.name ?? published
        }
    }
}
