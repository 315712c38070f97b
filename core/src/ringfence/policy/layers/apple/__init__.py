"""Apple device profiles as layers: what an administrator switched off for a device holds for its assistants too.

Read are the declarations of declarative device management `com.apple.configuration.external-intelligence.settings`,
`….intelligence.settings` and `….siri.settings` (JSON), and the older restrictions payload
`com.apple.applicationaccess` in a configuration profile (`.mobileconfig`, `.plist`). `settings` holds the table of what
each key does. Names, types and ways to combine are those of Apple's schemas, which are public in the repository
apple/device-management under `declarative/declarations/configurations/` and `mdm/profiles/`, as of the systems 27.0.

A key that allows is combined by boolean-and, one that forces by boolean-or, a list by intersection. A key that is not
there says what it says by default: that nothing is switched off.
"""
