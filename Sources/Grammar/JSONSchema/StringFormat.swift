/// Regular expressions for `format`, over the whole text. Every match is valid for the format; rarities such as leap
/// seconds and comments are omitted.
enum StringFormat {
    /// - Returns: nil for a format that cannot be enforced.
    static func expression(_ name: String) -> String? { expressions[name] }

    private static let date = #"""
        (([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8])))|(([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[048]|[2468][048]|[13579][26])00)-02-29))
        """#
    private static let time = #"""
        ([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])
        """#
    private static let byte = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
    private static let hex = "[0-9A-Fa-f]"

    private static let ipv6: String = {
        let group = "\(hex){1,4}"
        let last = "(\(group):\(group)|\(byte)(\\.\(byte)){3})"
        // RFC 3986, 3.2.2.
        return "((\(group):){6}\(last)|::(\(group):){5}\(last)|(\(group))?::(\(group):){4}\(last)"
            + "|((\(group):){0,1}\(group))?::(\(group):){3}\(last)|((\(group):){0,2}\(group))?::(\(group):){2}\(last)"
            + "|((\(group):){0,3}\(group))?::\(group):\(last)|((\(group):){0,4}\(group))?::\(last)"
            + "|((\(group):){0,5}\(group))?::\(group)|((\(group):){0,6}\(group))?::)"
    }()

    private static let uri: String = {
        let unreserved = "A-Za-z0-9._~-"
        let delimiters = "!$&'()*+,;="
        let escape = "%\(hex)\(hex)"
        let character = "([\(unreserved)\(delimiters):@]|\(escape))"
        let host = "([\(unreserved)\(delimiters)]|\(escape))*"
        let authority = "(([\(unreserved)\(delimiters):]|\(escape))*@)?(\\[\(ipv6)\\]|\(host))(:[0-9]*)?"
        let path =
            "(//\(authority)(/\(character)*)*|/(\(character)+(/\(character)*)*)?|\(character)+(/\(character)*)*)?"
        return "[A-Za-z][A-Za-z0-9+.-]*:\(path)(\\?(\(character)|[/?])*)?(#(\(character)|[/?])*)?"
    }()

    private static let expressions: [String: String] = [
        "date": date, "time": time, "date-time": "\(date)[Tt]\(time)",
        "duration":
            "P([0-9]+W|([0-9]+Y([0-9]+M([0-9]+D)?)?|[0-9]+M([0-9]+D)?|[0-9]+D)(T\(clock))?|T\(clock))",
        "uuid": "\(hex){8}-\(hex){4}-\(hex){4}-\(hex){4}-\(hex){12}", "ipv4": "\(byte)(\\.\(byte)){3}", "ipv6": ipv6,
        "hostname": "\(hostLabel)(\\.\(hostLabel)){0,3}",
        "email":
            "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,31}(\\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,31})?@\(hostLabel)(\\.\(hostLabel)){1,3}",
        "uri": uri, "json-pointer": "(/([^~/]|~[01])*)*",
    ]

    /// Labels of at most 40 characters, four at most: within the limit of 253 characters. Hyphens are single, so that
    /// no label is Punycode that would have to be validated.
    private static let hostLabel = "([A-Za-z0-9](-?[A-Za-z0-9]){0,19})"
    private static let clock = "([0-9]+H([0-9]+M([0-9]+S)?)?|[0-9]+M([0-9]+S)?|[0-9]+S)"
}
