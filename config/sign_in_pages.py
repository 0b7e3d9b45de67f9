"""The forms of the pages of allauth, by the names that its settings have for them."""

ACCOUNT_FORMS = {
    "signup": "accounts.sign_in_forms.SignUp",
    "login": "accounts.sign_in_forms.SignIn",
    "request_login_code": "accounts.sign_in_forms.RequestCode",
    "confirm_login_code": "accounts.sign_in_forms.ConfirmSignInCode",
    "confirm_email_verification_code": "accounts.sign_in_forms.ConfirmAddressCode",
    "add_email": "accounts.sign_in_forms.ChangeAddress",
    "reset_password": "accounts.sign_in_forms.ResetPassword",
    "confirm_password_reset_code": "accounts.sign_in_forms.ConfirmResetCode",
    "reset_password_from_key": "accounts.sign_in_forms.NewPassword",
    "change_password": "accounts.sign_in_forms.ChangePassword",
    "set_password": "accounts.sign_in_forms.SetPassword",
    "reauthenticate": "accounts.sign_in_forms.Reauthenticate",
}

MFA_FORMS = {
    "authenticate": "accounts.sign_in_forms.ShowSecondFactor",
    "reauthenticate": "accounts.sign_in_forms.ShowSecondFactorAgain",
    "activate_totp": "accounts.sign_in_forms.ActivateSecondFactor",
    "add_webauthn": "accounts.sign_in_forms.AddPasskey",
    "edit_webauthn": "accounts.sign_in_forms.RenamePasskey",
    "login_webauthn": "accounts.sign_in_forms.SignInWithPasskey",
    "authenticate_webauthn": "accounts.sign_in_forms.ShowPasskey",
    "reauthenticate_webauthn": "accounts.sign_in_forms.ShowPasskeyAgain",
}
