import Foundation

/// A language by its code, with the English name that prompts use.
public struct Language: Sendable, Hashable {
    /// As given, say `de` or `pt-BR`.
    public let code: String
    /// Say `German` or `Portuguese (Brazil)`.
    public let name: String

    /// - Parameter code: BCP 47, whose language is one of ISO 639; nil for anything else.
    public init?(code: String) {
        guard Locale.Language(identifier: code).languageCode?.isISOLanguage == true,
            let name = Locale(identifier: "en_US").localizedString(forIdentifier: code), !name.isEmpty
        else { return nil }
        (self.code, self.name) = (code, name)
    }
}
